import { join } from 'node:path'
import type { Ground } from './ground.ts'
import { ourProgram } from './our-program.ts'
import { runOk } from './run-program.ts'

/** One key as `latchkey keys list -o json` shows it. */
export interface ListedKey {
  readonly id: string
  readonly state: 'staged' | 'active' | 'superseded' | 'retired' | 'destroyed'
}

/** A keyring with a file root, worked on with the real command line alone. */
export interface Keyring {
  readonly dir: string
  /** `file:…`, as `--root` wants it. */
  readonly root: string
  list(): Promise<{ readonly generation: number; readonly keys: readonly ListedKey[] }>
  /** Id of the active key. */
  active(): Promise<string>
  /** Each resolves with the id of the key it made or moved. */
  stage(): Promise<string>
  activate(): Promise<string>
  retire(id: string): Promise<void>
  destroy(id: string): Promise<void>
}

/** Runs `latchkey` from the checkout and resolves with its stdout; any exit code but 0 is an error. */
export async function latchkey(ground: Ground, args: readonly string[]): Promise<string> {
  const { command, script } = await ourProgram(ground, 'latchkey')
  return await runOk(ground, { command, args: [script, ...args] })
}

/** `latchkey keys init` in the ground's directory; with a root file of its own unless one is given. */
export async function createKeyring(
  ground: Ground,
  options: { readonly name?: string; readonly root?: string } = {},
): Promise<Keyring> {
  const { name = 'keyring', root = `file:${join(ground.dir, `${name}.root`)}` } = options
  const dir = join(ground.dir, name)
  const where = ['--keyring', dir, '--root', root]
  const keys = async (...args: readonly string[]): Promise<string> =>
    (await latchkey(ground, ['keys', ...args, ...where])).trim()
  await keys('init')
  const list: Keyring['list'] = async () =>
    JSON.parse(await keys('list', '-o', 'json')) as Awaited<ReturnType<Keyring['list']>>
  return {
    dir,
    root,
    list,
    active: async () => {
      const active = (await list()).keys.find(({ state }) => state === 'active')
      if (active === undefined) throw new Error('the keyring has no active key')
      return active.id
    },
    stage: async () => await keys('stage'),
    activate: async () => await keys('activate'),
    retire: async (id) => {
      await keys('retire', id, '--unproven', '--yes')
    },
    destroy: async (id) => {
      await keys('destroy', id, '--unproven', '--yes')
    },
  }
}
