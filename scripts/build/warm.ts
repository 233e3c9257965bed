import { spawn } from 'node:child_process'
import { chmod, glob, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exerciseKms } from './exercise-kms.ts'
import type { Program } from './programs.ts'

/**
 * Fills `cache/` by running each program once to a normal end, as far as it does its work without
 * a cluster: only at the end does Node.js write what V8 compiled, and only what was called is in it.
 *
 * @remarks
 * Node.js keeps one cache per release, architecture and *user id*, so that nobody is handed another
 * user's code. `cacheUids` are further user ids for which the cache made here is linked; the
 * directory belongs to whoever builds.
 */
export async function warmCache(
  programs: readonly Program[],
  options: { readonly out: string; readonly cacheUids: readonly number[] },
): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'latchkey-build-'))
  try {
    for (const { name } of programs) {
      await (recipes[name] ?? printHelp)(join(options.out, 'bin', name), scratch)
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  const cache = join(options.out, 'cache')
  for await (const own of glob(`*-${process.getuid?.() ?? 0}`, { cwd: cache })) {
    for (const file of await readdir(join(cache, own))) await chmod(join(cache, own, file), 0o644)
    for (const uid of options.cacheUids) {
      const other = own.replace(/[0-9]+$/, String(uid))
      if (other !== own) await symlink(own, join(cache, other))
    }
  }
}

type Recipe = (command: string, scratch: string) => Promise<void>

const recipes: Readonly<Record<string, Recipe>> = {
  latchkey: async (command, scratch) => {
    await run(command, ['keys', 'init', ...keyringFlags(scratch)])
  },
  // After latchkey, which has made the keyring.
  'latchkey-kms': async (command, scratch) => {
    const socket = join(scratch, 'kms.sock')
    const serving = new AbortController()
    const ended = run(
      command,
      [...keyringFlags(scratch), '--listen', `unix://${socket}`],
      serving.signal,
    )
    await Promise.race([exerciseKms(socket), ended])
    serving.abort()
    await ended
  },
}

const keyringFlags = (scratch: string): readonly string[] => [
  ...['--keyring', join(scratch, 'keyring')],
  ...['--root', `file:${join(scratch, 'root.key')}`],
]

const printHelp: Recipe = async (command) => {
  await run(command, ['--help'])
}

/** Runs a launcher with this Node.js until it ends; an aborted `signal` sends it SIGTERM. */
async function run(command: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  // Either variable of whoever builds would keep the launcher from using the release's own cache.
  const unset = { NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: undefined }
  const child = spawn(process.execPath, [command, ...args], {
    env: { ...process.env, ...unset },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4096)
    })
  }
  signal?.addEventListener('abort', () => child.kill('SIGTERM'))
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, by) => {
      if (code === 0) resolve()
      else reject(new Error(`${command} ended with ${code ?? by ?? 'nothing'}:\n${output}`))
    })
  })
}
