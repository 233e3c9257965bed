import test from 'ava'
import { readFile, writeFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { paths, settings } from '../../../scripts/image/settings.ts'
import manifest from '../../../package.json' with { type: 'json' }
import { type OciImage, readOciArchive } from '../../support/oci-archive.ts'
import type { TarEntry } from '../../support/tar.ts'
import { useGround } from '../support/ground.ts'
import { runOk } from '../support/run-program.ts'

const ground = useGround(test)
const project = join(import.meta.dirname, '../../..')

let bytes: Buffer
let image: OciImage
let files: ReadonlyMap<string, TarEntry>

async function make(name: string): Promise<Buffer> {
  const file = join(ground.dir, name)
  await runOk(ground, {
    command: process.execPath,
    args: [join(project, 'scripts/image.ts'), file],
    timeoutMs: 240_000,
  })
  return await readFile(file)
}

test.before(async () => {
  bytes = await make('one.tar')
  image = readOciArchive(bytes)
  files = new Map(image.layers.flat().map((entry) => [`/${entry.path}`, entry]))
})

test.serial('it is called localhost/latchkey:dev and runs as nobody in particular', (t) => {
  t.is(image.name, 'localhost/latchkey:dev')
  t.is(image.tag, 'dev')
  t.deepEqual(image.config, { ...settings, Env: [...settings.Env], Cmd: [...settings.Cmd] })
  t.regex(files.get('/etc/passwd')?.content.toString() ?? '', /^nonroot:x:65532:65532:/m)
})

test.serial('every program is there, and starts with the Node.js that is there', (t) => {
  for (const name of Object.keys(manifest.bin)) {
    const launcher = files.get(`${paths.release}/bin/${name}`)
    t.is((launcher?.mode ?? 0) & 0o777, 0o755, name)
    t.true(launcher?.content.toString().startsWith(`#!${paths.node}\n`), name)
  }
  t.is((files.get(paths.node)?.mode ?? 0) & 0o777, 0o755)
})

test.serial('nothing is set-uid, nothing but /tmp can be written to, and there is no shell', (t) => {
  for (const [path, { mode, uid, gid }] of files) {
    t.is(mode & 0o6000, 0, path)
    t.true((mode & 0o022) === 0 || path === '/tmp', path)
    t.deepEqual([uid, gid], [0, 0], path)
    t.notRegex(path, /\/(?:ba|da|a)?sh$|busybox/)
  }
})

test.serial('it is the same to the byte when it is made again', async (t) => {
  t.true(bytes.equals(await make('again.tar')))
})

test.serial('in a root of its own it runs with what it has', async (t) => {
  const root = join(ground.dir, 'root')
  for (const [path, { type, mode, content }] of files) {
    const to = join(root, path)
    await mkdir(type === 'directory' ? to : dirname(to), { recursive: true })
    if (type === 'file') await writeFile(to, content, { mode })
  }
  const inside = async (...args: readonly string[]): Promise<string> =>
    await runOk(ground, {
      command: 'chroot',
      args: [`--userspec=${settings.User}`, root, ...args],
      env: { PATH: `${settings.Env[0].replace('PATH=', '')}:/usr/sbin:/usr/bin` },
    })
  for (const name of Object.keys(manifest.bin)) {
    t.is((await inside(`${paths.release}/bin/${name}`, '--version')).trim(), manifest.version)
  }
})
