// The hints of errors about keyrings, followed to the letter on a real disk.
import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { keysAdopt } from '../../src/admin/keys/adopt.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { isLatchkeyError, type ErrorCode } from '../../src/base/errors.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { loadKeyring } from '../../src/keyring/load.ts'
import { commands, flags } from '../support/crash/operations.ts'
import { contextIn } from '../support/crash/place.ts'
import { stateIn, type KeyringState } from '../support/crash/state.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

type Context = ReturnType<typeof contextIn>

/** A keyring with a superseded and an active key, of generation 3, which this node has used. */
async function used(t: ExecutionContext): Promise<Context> {
  const context = contextIn(await temporaryDirectory(t), systemDisk)
  for (const command of [commands.init, commands.stage, commands.activate]) await command(context)
  return context
}

/** The hint with which the keyring is refused. */
async function refusal(t: ExecutionContext, context: Context, code: ErrorCode): Promise<string> {
  const store = await context.openStore('keyring')
  const roots = [await context.openRoot('file:root')]
  const error = await t.throwsAsync(loadKeyring(store, { roots }), { code })
  return isLatchkeyError(error) ? (error.hint ?? '') : ''
}

async function mended(t: ExecutionContext, context: Context): Promise<KeyringState> {
  const state = await stateIn({ cwd: context.cwd, roots: ['file:root'] })
  if (typeof state === 'string') throw new Error(`still refused: ${state}`)
  await commands.stage(context)
  t.not(typeof (await stateIn({ cwd: context.cwd, roots: ['file:root'] })), 'string')
  return state
}

const newest = ({ cwd }: Context): string => `${cwd}/keyring/keyring.0000000003`

const adoptFrom = (context: Context, from: string): Promise<void> =>
  keysAdopt(context, { ...flags, from, fromRoot: [], passphraseFile: undefined, yes: true })

for (const [code, spoil] of [
  ['ERR_KEYRING_TORN', (path: string) => fs.truncate(path, 100)],
  ['ERR_KEYRING_EDITED', (path: string) => fs.appendFile(path, 'x')],
  ['ERR_KEYRING_FOREIGN', (path: string) => fs.writeFile(path, 'hello\n')],
] as const) {
  test(`${code}: a bad file that was dropped in goes, and all is as before`, async (t) => {
    const context = await used(t)
    const dropped = `${context.cwd}/keyring/keyring.0000000004`
    await fs.copyFile(newest(context), dropped)
    await spoil(dropped)
    t.regex(await refusal(t, context, code), /remove it/)
    await fs.rm(dropped)
    t.is((await mended(t, context)).generation, 3)
  })

  test(`${code}: without a copy of it, the generation before it and adopt go on`, async (t) => {
    const context = await used(t)
    await spoil(newest(context))
    t.regex(await refusal(t, context, code), /remove it/)
    await fs.rm(newest(context))
    t.regex(await refusal(t, context, 'ERR_KEYRING_ROLLED_BACK'), /this keyring itself/)
    await adoptFrom(context, 'keyring')
    const { generation, keys } = await mended(t, context)
    t.is(generation, 4)
    t.deepEqual(
      keys.map(({ state }) => state),
      ['active', 'superseded'],
      'the key that the lost generation had activated is there, and nobody takes it for unused',
    )
  })
}

test('ERR_KEYRING_ROLLED_BACK: the newest copy, put back, is served again', async (t) => {
  const context = await used(t)
  await fs.rename(newest(context), `${context.cwd}/safe`)
  t.regex(await refusal(t, context, 'ERR_KEYRING_ROLLED_BACK'), /put the newest copy back/)
  await fs.rename(`${context.cwd}/safe`, newest(context))
  t.is((await mended(t, context)).generation, 3)
})

test('ERR_KEYRING_FORKED: adopting the one copy into the other keeps the keys of both', async (t) => {
  const context = await used(t)
  const { cwd } = context
  await fs.cp(`${cwd}/keyring`, `${cwd}/copy`, { recursive: true })
  await commands.stage(context)
  const here = await stateIn({ cwd, roots: ['file:root'] })
  await fs.rename(`${cwd}/keyring`, `${cwd}/mine`)
  await fs.rename(`${cwd}/copy`, `${cwd}/keyring`)
  await commands.stage(context)
  await fs.copyFile(`${cwd}/mine/high-water`, `${cwd}/keyring/high-water`)
  t.regex(await refusal(t, context, 'ERR_KEYRING_FORKED'), /adopt --from/)
  await adoptFrom(context, 'mine')
  const state = await stateIn({ cwd, roots: ['file:root'] })
  if (typeof state === 'string' || typeof here === 'string') throw new Error('refused')
  t.is(state.keys.length, 4)
  for (const { id } of here.keys) t.true(state.keys.some((key) => key.id === id))
})

test('ERR_KEYRING_FOREIGN: two keyrings become one', async (t) => {
  const context = await used(t)
  const { cwd } = context
  await keysInit(context, { keyring: 'other', root: ['file:root'], clusterId: undefined })
  await fs.cp(`${cwd}/keyring`, `${cwd}/mine`, { recursive: true })
  await fs.copyFile(`${cwd}/other/keyring.0000000001`, `${cwd}/keyring/keyring.0000000004`)
  t.regex(await refusal(t, context, 'ERR_KEYRING_FOREIGN'), /put the former keyring back/)
  await adoptFrom(context, 'mine')
  t.is((await mended(t, context)).keys.length, 3)
})

test('ERR_HIGH_WATER_INVALID: removing the record is enough', async (t) => {
  const context = await used(t)
  await fs.writeFile(`${context.cwd}/keyring/high-water`, 'x')
  t.regex(await refusal(t, context, 'ERR_HIGH_WATER_INVALID'), /then remove this file/)
  await fs.rm(`${context.cwd}/keyring/high-water`)
  t.is((await mended(t, context)).generation, 3)
})

test('ERR_KEYRING_UNSAFE: the chmod of the hint is the remedy, for directory and file', async (t) => {
  const context = await used(t)
  for (const path of [`${context.cwd}/keyring`, newest(context)]) {
    await fs.chmod(path, 0o777)
    const hint = await refusal(t, context, 'ERR_KEYRING_UNSAFE')
    t.is(hint, `chmod 0755 ${path}`)
    await fs.chmod(path, 0o755)
  }
  t.is((await mended(t, context)).generation, 3)
})
