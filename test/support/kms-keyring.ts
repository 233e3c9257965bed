import type { ExecutionContext } from 'ava'
import { chmod, cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createRandomPool } from '../../src/base/random.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { createKeyring } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { loadRevision } from '../../src/keyring/load.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import { fileRoot } from '../../src/keyring/roots/file.ts'
import type { KeyringStore } from '../../src/keyring/store.ts'
import { fileStore } from '../../src/keyring/stores/file.ts'
import {
  activateKey,
  destroyKey,
  retireKey,
  stageKey,
  type Transition,
} from '../../src/keyring/transitions.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const random = createRandomPool()
const make = { random, now: () => Date.now() }

/** A root of fresh bytes. */
export function freshRoot(): RootKey {
  return fileRoot(SecretBytes.take(random(32)), { random })
}

/** A keyring in a directory, and what an administrator does to it. */
export interface KeyringLab {
  readonly directory: string
  readonly store: KeyringStore
  readonly root: RootKey
  /** Each returns the id of the key that it was about. */
  readonly stage: () => Promise<string>
  readonly activate: () => Promise<string>
  readonly retire: (id: string) => Promise<string>
  readonly destroy: (id: string) => Promise<string>
  /** Stages and activates in one go. */
  readonly rotate: () => Promise<string>
  /** What is current now, to be disposed of by the caller. */
  readonly open: () => Promise<Keyring>
  /** Puts a copy aside; the function that is returned puts it back in place of what is there. */
  readonly copy: () => Promise<() => Promise<void>>
}

/** A directory with a new keyring of one active key; empty with `empty`. */
export async function keyringLab(
  t: ExecutionContext,
  options: { readonly empty?: boolean; readonly root?: RootKey } = {},
): Promise<KeyringLab & { readonly create: () => Promise<void> }> {
  const base = await temporaryDirectory(t)
  const directory = join(base, 'keyring')
  const store = fileStore(directory, {
    disk: systemDisk,
    random,
    uid: process.getuid?.() ?? 0,
    recheckMs: 500,
  })
  const root = options.root ?? freshRoot()
  const create = async (): Promise<void> => {
    const { bytes } = await createKeyring({ clusterId: 'test', roots: [root] }, make)
    await store.publish(bytes, { replaces: undefined })
    await chmod(directory, 0o700)
  }
  const load = (): ReturnType<typeof loadRevision> =>
    loadRevision(store, { roots: [root], mark: undefined })
  const change = async (transition: (current: Keyring) => Transition): Promise<string> => {
    const { keyring, revision } = await load()
    using current = keyring
    const { document, keyId } = transition(current)
    await store.publish(document.bytes, { replaces: revision })
    return keyId
  }
  const stage = (): Promise<string> => change((current) => stageKey(current, make))
  const activate = (): Promise<string> => change((current) => activateKey(current, make))
  if (options.empty !== true) await create()
  let copies = 0
  return {
    directory,
    store,
    root,
    create,
    stage,
    activate,
    retire: (id) => change((current) => retireKey(current, id, make)),
    destroy: (id) => change((current) => destroyKey(current, id, make)),
    rotate: async () => {
      await stage()
      return activate()
    },
    open: async () => (await load()).keyring,
    copy: async () => {
      copies += 1
      const aside = join(base, `copy-${copies}`)
      await cp(directory, aside, { recursive: true })
      return async () => {
        await rm(directory, { recursive: true })
        await cp(aside, directory, { recursive: true })
      }
    },
  }
}

/** An opened keyring with one key in each state, in order of birth: destroyed, retired, superseded, active, staged. */
export async function fullKeyring(t: ExecutionContext): Promise<Keyring> {
  const lab = await keyringLab(t)
  using first = await lab.open()
  const destroyed = first.active.id
  const retired = await lab.rotate()
  await lab.rotate()
  await lab.rotate()
  await lab.stage()
  await lab.retire(destroyed)
  await lab.destroy(destroyed)
  await lab.retire(retired)
  const keyring = await lab.open()
  t.teardown(() => {
    keyring[Symbol.dispose]()
  })
  return keyring
}
