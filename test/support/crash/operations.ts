import * as fs from 'node:fs/promises'
import type { AdminContext } from '../../../src/admin/context.ts'
import { keysAdopt } from '../../../src/admin/keys/adopt.ts'
import { keysBackup, keysRestore } from '../../../src/admin/keys/backup.ts'
import { keysActivate, keysStage } from '../../../src/admin/keys/change.ts'
import { keysDestroy } from '../../../src/admin/keys/destroy.ts'
import { keysRetire } from '../../../src/admin/keys/retire.ts'
import { keysInit } from '../../../src/admin/keys/init.ts'
import { keysRewrap } from '../../../src/admin/keys/rewrap.ts'
import { stateIn, type Place } from './state.ts'

/** A command that changes something, and what must be there before it. */
export interface Operation {
  readonly name: string
  /** Whether a keyring can be loaded before it, and at every moment of it. */
  readonly begins: 'with a keyring' | 'without'
  prepare(context: AdminContext): Promise<void>
  run(context: AdminContext): Promise<void>
}

/** The keyring that operations are about, as it begins. */
export const flags = { keyring: 'keyring', root: ['file:root'] }
const other = { keyring: 'other', root: ['file:root'] }
const passphraseFile = 'passphrase'

const init = (context: AdminContext): Promise<void> =>
  keysInit(context, { ...flags, clusterId: 'prod' })
const stage = (context: AdminContext): Promise<void> => keysStage(context, flags)
const activate = (context: AdminContext): Promise<void> => keysActivate(context, flags)
const onOwnWord = { unproven: true, compact: false, yes: true }
const retire = async (context: AdminContext): Promise<void> =>
  keysRetire(context, undefined, { ...flags, ...onOwnWord, id: await firstKey(context) })
const destroy = async (context: AdminContext): Promise<void> =>
  keysDestroy(context, undefined, { ...flags, ...onOwnWord, id: await firstKey(context) })
const backup = async (context: AdminContext): Promise<void> => {
  await fs.writeFile(`${context.cwd}/${passphraseFile}`, 'a passphrase', { mode: 0o600 })
  await keysBackup(context, { ...flags, out: 'backup', passphraseFile })
}
const adopt = (context: AdminContext): Promise<void> =>
  keysAdopt(context, {
    ...flags,
    from: 'other',
    fromRoot: [],
    passphraseFile: undefined,
    yes: true,
  })

/** The commands themselves, on {@link flags}. */
export const commands = { init, stage, activate, retire, destroy, backup, adopt }

async function firstKey(context: AdminContext): Promise<string> {
  const state = await stateIn(placeOf(context))
  return typeof state === 'string' ? '' : (state.keys[0]?.id ?? '')
}

const placeOf = ({ cwd }: AdminContext): Place => ({ cwd, roots: ['file:root'] })

async function inOrder(
  context: AdminContext,
  ...steps: readonly ((context: AdminContext) => Promise<void>)[]
): Promise<void> {
  for (const step of steps) await step(context)
}

/** Every command that changes a keyring. */
export const operations: readonly Operation[] = [
  { name: 'init', begins: 'without', prepare: async () => undefined, run: init },
  { name: 'stage', begins: 'with a keyring', prepare: init, run: stage },
  {
    name: 'activate',
    begins: 'with a keyring',
    prepare: (context: AdminContext): Promise<void> => inOrder(context, init, stage),
    run: activate,
  },
  {
    name: 'retire',
    begins: 'with a keyring',
    prepare: (context: AdminContext): Promise<void> => inOrder(context, init, stage, activate),
    run: retire,
  },
  {
    name: 'destroy',
    begins: 'with a keyring',
    prepare: (context: AdminContext): Promise<void> =>
      inOrder(context, init, stage, activate, retire),
    run: destroy,
  },
  {
    name: 'rewrap to a new root',
    begins: 'with a keyring',
    prepare: init,
    run: (context: AdminContext): Promise<void> =>
      keysRewrap(context, { ...flags, newRoot: ['file:new'], addRoot: [] }),
  },
  {
    name: 'rewrap with one more root',
    begins: 'with a keyring',
    prepare: init,
    run: (context: AdminContext): Promise<void> =>
      keysRewrap(context, { ...flags, newRoot: [], addRoot: ['file:new'] }),
  },
  { name: 'backup', begins: 'with a keyring', prepare: init, run: backup },
  {
    name: 'restore',
    begins: 'without',
    prepare: async (context: AdminContext): Promise<void> => {
      await inOrder(context, init, backup)
      await fs.rm(`${context.cwd}/keyring`, { recursive: true })
      await fs.rm(`${context.cwd}/root`)
    },
    run: (context: AdminContext): Promise<void> =>
      keysRestore(context, { ...flags, from: 'backup', passphraseFile }),
  },
  {
    name: 'restore where the files of a keyring were lost',
    begins: 'without',
    prepare: async (context: AdminContext): Promise<void> => {
      await inOrder(context, init, backup, stage, activate)
      for (const name of await fs.readdir(`${context.cwd}/keyring`)) {
        if (name.startsWith('keyring.')) await fs.rm(`${context.cwd}/keyring/${name}`)
      }
    },
    run: (context: AdminContext): Promise<void> =>
      keysRestore(context, { ...flags, from: 'backup', passphraseFile }),
  },
  {
    name: 'adopt',
    begins: 'with a keyring',
    prepare: async (context: AdminContext): Promise<void> => {
      await inOrder(context, init, stage, activate)
      await keysInit(context, { ...other, clusterId: undefined })
      await keysStage(context, other)
    },
    run: adopt,
  },
  {
    name: 'adopt after an older copy was put back',
    begins: 'without',
    prepare: async (context: AdminContext): Promise<void> => {
      const { cwd } = context
      await init(context)
      await keysInit(context, { ...other, clusterId: undefined })
      await fs.cp(`${cwd}/keyring/keyring.0000000001`, `${cwd}/older`)
      await inOrder(context, stage, activate)
      for (const name of await fs.readdir(`${cwd}/keyring`)) {
        if (name.startsWith('keyring.')) await fs.rm(`${cwd}/keyring/${name}`)
      }
      await fs.rename(`${cwd}/older`, `${cwd}/keyring/keyring.0000000003`)
    },
    run: adopt,
  },
]

/** The operation of this name. */
export function operationOf(name: string): Operation {
  const operation = operations.find((one) => one.name === name)
  if (operation === undefined) throw new Error(`there is no operation ${name}`)
  return operation
}
