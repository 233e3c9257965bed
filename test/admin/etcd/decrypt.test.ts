import test, { type ExecutionContext } from 'ava'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  etcdDecrypt,
  type EtcdDecryptDeps,
  type EtcdDecryptFlags,
} from '../../../src/admin/etcd/decrypt/command.ts'
import { safeName } from '../../../src/admin/etcd/decrypt/object-files.ts'
import { parseSelection } from '../../../src/admin/etcd/decrypt/selection.ts'
import { openCurrent } from '../../../src/admin/keys/current.ts'
import { keysInit } from '../../../src/admin/keys/init.ts'
import { readEncryptionConfig } from '../../../src/admin/etcd/read-encryption-config.ts'
import { snapshotSource } from '../../../src/admin/etcd/snapshot-source.ts'
import type { RecordSource } from '../../../src/storage/record.ts'
import { recordedContext, type RecordedContext } from '../../support/admin-context.ts'
import { etcdVectors, openVectorBackup, snapshotVector } from '../../support/etcd-vectors.ts'

const vectors = await etcdVectors()
const snapshot = await snapshotVector()
const backup = await openVectorBackup()

interface Prepared {
  readonly made: RecordedContext
  readonly deps: EtcdDecryptDeps
  readonly revealed: Buffer[]
  readonly flags: EtcdDecryptFlags
}

async function prepare(
  t: ExecutionContext,
  more: Partial<EtcdDecryptDeps> = {},
): Promise<Prepared> {
  const made = await recordedContext(t)
  await writeFile(made.path('snapshot.db'), snapshot.file)
  await writeFile(made.path('encryption.yaml'), vectors.encryptionConfig)
  const config = await readEncryptionConfig('encryption.yaml', made.cwd)
  t.teardown(() => {
    config[Symbol.dispose]()
  })
  const revealed: Buffer[] = []
  const deps: EtcdDecryptDeps = {
    ...made,
    source: snapshotSource(made.path('snapshot.db')),
    backup,
    config,
    reveal: async (bytes) => {
      revealed.push(Buffer.from(bytes))
    },
    signal: new AbortController().signal,
    ...more,
  }
  const flags = { keys: [], all: false, out: made.path('out'), reveal: false, prefix: '/registry' }
  return { made, deps, revealed, flags }
}

test('every object comes out byte for byte, in files that only the owner can read', async (t) => {
  const { made, deps, flags } = await prepare(t)
  t.true(await etcdDecrypt(deps, { ...flags, keys: ['/registry/secrets/'] }))
  for (const { key, plaintext } of vectors.objects) {
    const directory = join(made.path('out'), key.replace('/registry/', ''))
    t.deepEqual(await readFile(join(directory, 'object.pb')), plaintext, key)
  }
  const small = join(made.path('out'), 'secrets/default/kms-v2-seed-small')
  t.deepEqual(await readFile(join(small, 'data/password')), Buffer.of(0, 255, 10))
  t.deepEqual((await readdir(join(small, 'data'))).sort(), ['empty', 'password', 'username'])
  t.like(JSON.parse(await readFile(join(small, 'secret.json'), 'utf8')), {
    kind: 'Secret',
    data: { password: 'AP8K' },
  })
  for (const entry of await readdir(made.path('out'), { recursive: true, withFileTypes: true })) {
    const { mode } = await stat(join(entry.parentPath, entry.name))
    t.is(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name)
  }
  const index = await readFile(join(made.path('out'), 'index.jsonl'), 'utf8')
  t.is(index.trim().split('\n').length, vectors.objects.length)
})

test('one object is shown on demand, and is a manifest', async (t) => {
  const { deps, flags, revealed, made } = await prepare(t)
  const keys = ['/registry/secrets/default/kms-v1-small']
  t.true(await etcdDecrypt(deps, { ...flags, keys, out: undefined, reveal: true }))
  t.is(revealed.length, 1)
  t.like(JSON.parse(revealed.join('')), { kind: 'Secret', metadata: { name: 'small' } })
  for (const line of [...made.data, ...made.said]) t.false(line.includes('AP8K'))
  const ranges = { ...flags, keys: ['/registry/ranges/serviceips'], out: undefined, reveal: true }
  await t.throwsAsync(etcdDecrypt(deps, ranges), { code: 'ERR_USAGE', message: /binary form/ })
})

test('flags that leave open what is wanted, or where to, are refused', async (t) => {
  const { deps, flags, made } = await prepare(t)
  const keys = ['/registry/secrets/default/kms-v1-small']
  for (const wrong of [
    flags,
    { ...flags, keys, all: true },
    { ...flags, keys, out: undefined },
    { ...flags, keys, reveal: true },
    { ...flags, all: true, out: undefined, reveal: true },
    { ...flags, keys: ['/registry/secrets/'], out: undefined, reveal: true },
    { ...flags, keys: ['/elsewhere/x/y'] },
    { ...flags, keys: ['secrets/default/x'] },
    { ...flags, keys: ['/elsewhere/'] },
  ]) {
    await t.throwsAsync(etcdDecrypt(deps, wrong), { code: 'ERR_USAGE' })
  }
  t.false((await readdir(made.cwd)).includes('out'))
})

test('nothing is overwritten', async (t) => {
  const { deps, flags, made } = await prepare(t)
  await mkdir(made.path('out'))
  await writeFile(made.path('out/mine'), 'kept')
  await t.throwsAsync(etcdDecrypt(deps, { ...flags, all: true }), { code: 'ERR_USAGE' })
  t.deepEqual(await readdir(made.path('out')), ['mine'])
})

test('what does not open is named with its cause, and the rest is written', async (t) => {
  const { deps, flags, made } = await prepare(t, { config: undefined })
  const keys = ['/registry/secrets/default/', '/registry/secrets/default/nowhere']
  t.false(await etcdDecrypt(deps, { ...flags, keys }))
  const said = made.said.join('\n')
  t.regex(said, /secretbox-small: .*\(ERR_STORED_KEY_MISSING\)/)
  t.regex(said, /not in the snapshot: \/registry\/secrets\/default\/nowhere/)
  t.regex(said, /15 object\(s\), listed in index.jsonl/)
})

test('without a backup nothing that a KMS provider encrypted opens', async (t) => {
  const { deps, flags, made } = await prepare(t, { backup: undefined })
  t.false(
    await etcdDecrypt(deps, { ...flags, keys: ['/registry/secrets/default/kms-v2-seed-small'] }),
  )
  t.regex(made.said.join('\n'), /ERR_STORED_KEY_MISSING/)
})

test('with the backup of another keyring it says which key is missing, and for how many', async (t) => {
  const another = await recordedContext(t)
  const where = { keyring: 'other', root: ['file:root'] }
  await keysInit(another, { ...where, clusterId: 'another' })
  using current = await openCurrent(another, where)
  const { deps, flags, made } = await prepare(t, { backup: current.keyring })
  t.false(await etcdDecrypt(deps, { ...flags, keys: ['/registry/secrets/default/kms-v2-seed'] }))
  t.false(await etcdDecrypt(deps, { ...flags, out: made.path('out-2'), all: true }))
  const [first, second] = vectors.keyIds
  t.regex(made.said.join('\n'), new RegExp(`9 object\\(s\\) need key ${first}`))
  t.regex(made.said.join('\n'), new RegExp(`3 object\\(s\\) need key ${second}`))
})

test('hostile names stay below the directory, and no two become one', async (t) => {
  t.is(safeName('web.v1_a-b:c'), 'web.v1_a-b:c')
  const odd = ['.', '..', '', '%', '%2E', 'a/b', 'a%2Fb', 'ä', '\0', 'a b', '\n']
  const safe = odd.map(safeName)
  t.is(new Set(safe).size, odd.length)
  for (const name of safe) t.regex(name, /^(?!\.{1,2}$)[A-Za-z0-9._:%-]+$/)
  const value = Buffer.from('{"kind":"X"}')
  const source: RecordSource = {
    facts: { location: 'a test', revision: 2, hasHistory: true },
    async *batches() {
      yield ['..', '.', '\x1b[2J'].map((name) => ({
        key: `/registry/secrets/${name}/..`,
        value,
        modRevision: 2,
        state: 'current' as const,
      }))
    },
  }
  const { deps, flags, made } = await prepare(t, { source })
  t.true(await etcdDecrypt(deps, { ...flags, all: true }))
  t.deepEqual((await readdir(made.path('out/secrets'))).sort(), ['%1B%5B2J', '%2E', '%2E%2E'])
  t.deepEqual((await readdir(made.cwd)).sort(), ['encryption.yaml', 'out', 'snapshot.db'])
})

test('interrupted, or with a disk that fails, it leaves no index', async (t) => {
  const abort = new AbortController()
  abort.abort()
  const { deps, flags, made } = await prepare(t, { signal: abort.signal })
  await t.throwsAsync(etcdDecrypt(deps, { ...flags, all: true }), { code: 'ERR_ABORTED' })
  t.false((await readdir(made.path('out'))).includes('index.jsonl'))
  const failing = await prepare(t)
  const disk = {
    ...failing.made.disk,
    create: async (path: string, mode: number) => {
      if (!path.includes('index')) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return await failing.made.disk.create(path, mode)
    },
  }
  await t.throwsAsync(etcdDecrypt({ ...failing.deps, disk }, { ...failing.flags, all: true }), {
    code: 'ERR_DISK_FULL',
  })
  t.false((await readdir(failing.made.path('out'))).includes('index.jsonl'))
})

test('a selection knows what it has not met', (t) => {
  const selection = parseSelection(['/registry/secrets/a/', '/registry/pods/b/c'], {
    all: false,
    prefix: '/registry',
  })
  t.true(selection.wants('/registry/secrets/a/x'))
  t.false(selection.wants('/registry/secrets/ab/x'))
  t.false(selection.wants('/registry/pods/b/cd'))
  t.deepEqual(selection.missing, ['/registry/pods/b/c'])
})
