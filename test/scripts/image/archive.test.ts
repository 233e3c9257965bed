import test, { type ExecutionContext } from 'ava'
import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeArchive } from '../../../scripts/image/archive.ts'
import { packLayer } from '../../../scripts/image/layer.ts'
import { settings } from '../../../scripts/image/settings.ts'
import { readOciArchive } from '../../support/oci-archive.ts'

async function scratch(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A root file system with modes and times that depend on when and by whom it was made. */
async function makeRoot(path: string, umask: number): Promise<void> {
  for (const name of ['usr/bin', 'tmp']) await mkdir(join(path, name), { recursive: true })
  await writeFile(join(path, 'usr/bin/program'), 'run me')
  await chmod(join(path, 'usr/bin/program'), 0o777 & ~umask)
  await writeFile(join(path, 'usr/data'), 'read me')
  await chmod(join(path, 'usr/data'), 0o666 & ~umask)
  await chmod(join(path, 'usr'), 0o777 & ~umask)
  await chmod(join(path, 'tmp'), 0o1777)
  await utimes(join(path, 'usr/data'), new Date(), new Date(Date.now() - umask * 1000))
}

async function archive(
  t: ExecutionContext,
  options: { umask?: number; name?: string; architecture?: string } = {},
): Promise<Buffer> {
  const directory = await scratch(t)
  const file = join(directory, 'image.tar')
  const layers = []
  for (const what of ['first', 'second']) {
    const root = join(directory, what)
    await makeRoot(root, options.umask ?? 0o022)
    await writeFile(join(root, what), what)
    layers.push(await packLayer(root, what))
  }
  const { name = 'registry.example:5000/latchkey:1.2.3', architecture = 'x64' } = options
  await writeArchive(file, { name, layers, scratch: directory, architecture })
  return await readFile(file)
}

test('the archive is an OCI image layout, every digest of which is right', async (t) => {
  const image = readOciArchive(await archive(t))
  t.is(image.name, 'registry.example:5000/latchkey:1.2.3')
  t.is(image.tag, '1.2.3')
  t.deepEqual(image.platform, { architecture: 'amd64', os: 'linux' })
  t.deepEqual(image.config, settings as typeof image.config)
  const [first = [], second = []] = image.layers
  t.true(first.some(({ path }) => path === 'first'))
  t.true(second.some(({ path }) => path === 'second'))
})

test('files belong to root, have no time, and nobody else may write to them', async (t) => {
  const image = readOciArchive(await archive(t, { umask: 0o007 }))
  const entries = image.layers.flat()
  for (const entry of entries) t.like(entry, { uid: 0, gid: 0, modified: 0 })
  const modes = new Map(entries.map(({ path, mode }) => [path, mode.toString(8)]))
  t.is(modes.get('usr'), '755')
  t.is(modes.get('usr/bin/program'), '755')
  t.is(modes.get('usr/data'), '644')
  t.is(modes.get('tmp'), '1777')
})

test('the same content is the same archive, whoever makes it and when', async (t) => {
  const [one, other] = [await archive(t, { umask: 0o022 }), await archive(t, { umask: 0o077 })]
  t.true(one.equals(other))
})

test('one byte less or more in it is noticed', async (t) => {
  const bytes = await archive(t)
  const at = bytes.indexOf('"rootfs"')
  const edited = Buffer.from(bytes)
  edited[at + 1] = 'R'.charCodeAt(0)
  t.throws(() => readOciArchive(edited), { message: /another digest/ })
})

test('a name without a tag, and a processor without Node.js, are refused', async (t) => {
  await t.throwsAsync(archive(t, { name: 'localhost/latchkey' }), { message: /ends with a tag/ })
  await t.throwsAsync(archive(t, { architecture: 's390x' }), { message: /s390x are not made/ })
  t.is(readOciArchive(await archive(t, { architecture: 'arm64' })).platform.architecture, 'arm64')
})
