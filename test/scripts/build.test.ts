import test from 'ava'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import manifest from '../../package.json' with { type: 'json' }
import { exerciseKms } from '../../scripts/build/exercise-kms.ts'

const project = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)
const nodePath = `${join(process.execPath, '..')}:${process.env['PATH'] ?? ''}`

let place: string
/** The release, moved away from where it was built, as a release is. */
let release: string

test.before(async () => {
  place = await mkdtemp(join(tmpdir(), 'latchkey-release-'))
  const built = join(place, 'built')
  await run(process.execPath, ['scripts/build.ts', '--out', built, '--cache-uid', '65532'], {
    cwd: project,
  })
  release = join(place, 'elsewhere', 'latchkey')
  await mkdir(join(place, 'elsewhere'))
  await rename(built, release)
})
test.after.always(async () => {
  await rm(place, { recursive: true, force: true })
})

/** Runs a command of the release by its `#!` line. */
async function command(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ stdout: string; stderr: string }> {
  return await run(join(release, 'bin', name), args, {
    env: { PATH: nodePath, ...env },
    cwd: place,
  })
}

test('every program answers --version and --help', async (t) => {
  const names = await readdir(join(release, 'bin'))
  t.deepEqual(names.sort(), Object.keys(manifest.bin).sort())
  for (const name of names) {
    t.is((await command(name, ['--version'])).stdout.trim(), manifest.version)
    t.regex((await command(name, ['--help'])).stdout, new RegExp(`^Usage: ${name} `))
  }
})

test('a keyring made by the bundled command line is served by the bundled plugin', async (t) => {
  const where = ['--keyring', join(place, 'keyring'), '--root', `file:${join(place, 'root.key')}`]
  await command('latchkey', ['keys', 'init', ...where])
  const socket = join(place, 'kms.sock')
  const args = [...where, '--listen', `unix://${socket}`]
  const plugin = spawn(join(release, 'bin', 'latchkey-kms'), args, {
    env: { PATH: nodePath },
    stdio: 'ignore',
  })
  t.teardown(() => plugin.kill('SIGKILL'))
  const ended = once(plugin, 'exit')
  await exerciseKms(socket)
  plugin.kill('SIGTERM')
  t.deepEqual(await ended, [0, null])
})

test('the compile cache is used, and for the users that it was linked for', async (t) => {
  const caches = (await readdir(join(release, 'cache'))).sort()
  const own = process.getuid?.() ?? 0
  t.deepEqual(
    caches.map((name) => /-(\d+)$/.exec(name)?.[1]).sort(),
    [...new Set([own, 65_532])].map(String).sort(),
  )
  const { stdout, stderr } = await command('latchkey', ['--version'], {
    NODE_DEBUG_NATIVE: 'COMPILE_CACHE',
  })
  t.regex(`${stdout}${stderr}`, /lib\/latchkey\.mjs was accepted/)
  for (const file of await readdir(join(release, 'cache', String(caches[0])))) {
    const { mode } = await stat(join(release, 'cache', String(caches[0]), file))
    t.is(mode & 0o777, 0o644)
  }
})

test('a release carries its documents, and the licence of everything that is bundled', async (t) => {
  for (const name of ['LICENSE', 'README.md', 'SECURITY.md', 'CHANGELOG.md', 'deploy/README.md']) {
    t.is(
      await readFile(join(release, name), 'utf8'),
      await readFile(join(project, name), 'utf8'),
      name,
    )
  }
  const licenses = await readFile(join(release, 'THIRD_PARTY_LICENSES'), 'utf8')
  for (const name of ['@grpc/grpc-js', 'libsodium', 'protobufjs', 'yaml', 'pino']) {
    t.true(licenses.includes(`\n${name} `), name)
  }
  t.true(licenses.includes('Permission to use, copy, modify, and/or distribute this software'))
  t.false(/^(?:esbuild|ava|typescript) \d/m.test(licenses))
})

test('a Node.js that is too old is told so', async (t) => {
  const launcher = await readFile(join(release, 'bin', 'latchkey'), 'utf8')
  const pretend = launcher.replace('process.versions.node', "'24.11.1'")
  t.not(pretend, launcher)
  const error = await t.throwsAsync(run(process.execPath, ['-e', pretend]))
  t.like(error, { code: 1 })
  t.regex(error.message, /needs Node\.js 24\.12 or newer/)
})
