import test from 'ava'
import { parse } from 'yaml'
import { parseEncryptionConfig } from '../../src/storage/encryption-config.ts'
import type { RecordSource, StoredRecord } from '../../src/storage/record.ts'
import {
  findUnexpected,
  keysInUse,
  scan,
  unknownKeys,
  type ScanOptions,
  type UnexpectedObject,
} from '../../src/storage/scan.ts'
import { etcdVectors } from '../support/etcd-vectors.ts'

const { objects, keyIds } = await etcdVectors()
const [first, second] = keyIds
const { signal } = new AbortController()

function source(records: readonly Partial<StoredRecord>[], hasHistory = true): RecordSource {
  return {
    facts: { location: 'a test', revision: 9, hasHistory },
    async *batches() {
      for (const record of records) {
        yield [
          {
            key: '/registry/secrets/a/b',
            value: Buffer.of(),
            modRevision: 3,
            state: 'current',
            ...record,
          },
        ]
      }
    },
  }
}

/** The value of the vector `title`, under a key of `resource`. */
function record(title: string, resource = 'secrets', name = 'x'): Partial<StoredRecord> {
  const value = objects.find((vector) => vector.title === title)?.value ?? Buffer.alloc(0)
  return { key: `/registry/${resource}/default/${name}`, value }
}

async function scanned(
  records: readonly Partial<StoredRecord>[],
  options: Omit<ScanOptions, 'signal'> = {},
): Promise<Awaited<ReturnType<typeof scan>>> {
  return await scan([source(records)], { ...options, signal })
}

/** Which of the records are not as expected, and why. */
async function unexpected(
  records: readonly Partial<StoredRecord>[],
  expect: NonNullable<ScanOptions['expect']>,
): Promise<readonly string[]> {
  const found: UnexpectedObject[] = []
  const report = await scanned(records, {
    expect,
    onUnexpected: async (object) => {
      found.push(object)
    },
  })
  const counted = report.unexpected.reduce((sum, row) => sum + row.objects, 0)
  if (counted !== found.length) throw new Error(`${counted} counted, ${found.length} listed`)
  return found.map(({ name, why }) => `${name} ${why}`)
}

test('objects are counted by resource, provider and key id', async (t) => {
  const report = await scanned([
    record('kms-v2-seed'),
    record('kms-v2-key'),
    record('kms-v2-seed-rotated'),
    record('kms-v1'),
    record('secretbox', 'configmaps'),
    record('identity', 'deployments'),
    { ...record('kms-v2-seed'), state: 'superseded' },
    { key: '/registry/ranges/serviceips', value: Buffer.from('k8s\0abc') },
    { key: '/registry/secrets/a/odd', value: Buffer.from('k8s:enc:kms:v2:n:') },
    { key: 'compact_rev_key', value: Buffer.from('12') },
  ])
  const rows = report.resources.map((row) => [row.resource, row.provider, row.keyId, row.objects])
  t.deepEqual(rows, [
    ['configmaps', 'secretbox:v1:secretbox-key', undefined, 1],
    ['deployments.apps', 'identity', undefined, 1],
    ['secrets', 'kms:v1:latchkey-v1', first, 1],
    ['secrets', 'kms:v2:latchkey', first, 2],
    ['secrets', 'kms:v2:latchkey', second, 1],
  ])
  t.deepEqual(
    report.history?.map(({ objects: n, keyId }) => [n, keyId]),
    [[1, first]],
  )
  t.like(report.exempt[0], { resource: 'ranges', provider: 'identity', objects: 1, bytes: 7 })
  t.like(report.undecodable[0], { resource: 'secrets', reason: 'malformed', objects: 1 })
  t.deepEqual(report.outside, { objects: 1, bytes: 2 })
  t.is(report.proof, null)
  t.deepEqual(
    [...keysInUse(report, { history: false })],
    [
      [first, 3],
      [second, 1],
    ],
  )
  t.deepEqual(
    [...keysInUse(report, { history: true })],
    [
      [first, 4],
      [second, 1],
    ],
  )
})

test('what is encrypted outside the prefix needs its key, too', async (t) => {
  const elsewhere = { ...record('kms-v2-seed'), key: '/kubernetes.io/secrets/a/b' }
  const keys: string[] = []
  const report = await scanned(
    [
      elsewhere,
      { ...elsewhere, state: 'superseded' },
      { ...record('kms-v2-seed-rotated'), key: '/registry/secrets/a/b/too-deep' },
      { key: '/other/plain', value: Buffer.from('k8s\0abc') },
    ],
    { onElsewhere: ({ key, keyId }) => keys.push(`${key} ${keyId ?? ''}`) },
  )
  t.deepEqual(report.resources, [])
  t.is(report.outside.objects, 3)
  t.deepEqual(
    report.elsewhere.map(({ provider, keyId, state, objects: n }) => [provider, keyId, state, n]),
    [
      ['kms:v2:latchkey', first, 'current', 1],
      ['kms:v2:latchkey', first, 'superseded', 1],
      ['kms:v2:latchkey', second, 'current', 1],
    ].sort(),
  )
  t.is(keys.length, 3)
  t.is(keysInUse(report, { history: false }).get(first), 1)
  t.is(keysInUse(report, { history: true }).get(first), 2)
})

test('values whose key cannot be told are counted, history included', async (t) => {
  const torn = { value: Buffer.from('k8s:enc:kms:v2:n:') }
  const report = await scanned([
    record('kms-v2-seed'),
    record('secretbox'),
    record('identity'),
    { value: Buffer.from('no object at all') },
    torn,
    { ...torn, state: 'superseded' },
    { value: Buffer.from('k8s:enc:') },
  ])
  t.is(unknownKeys(report), 3)
})

test('a row has exactly the fields of the interface', async (t) => {
  const report = await scanned([record('kms-v2-seed'), record('identity')])
  t.deepEqual(
    report.resources.map((row) => Object.keys(row)),
    [
      ['resource', 'provider', 'objects', 'bytes'],
      ['resource', 'provider', 'keyId', 'objects', 'bytes'],
    ],
  )
})

test('a source without history says so, and resources can be chosen', async (t) => {
  const both = [record('identity', 'configmaps'), record('identity')]
  const report = await scan([source(both, false)], { resources: new Set(['secrets']), signal })
  t.is(report.history, null)
  t.deepEqual(
    report.resources.map(({ resource }) => resource),
    ['secrets'],
  )
})

test('another key, another provider and nonsense break an expected key id', async (t) => {
  const records = [
    record('kms-v2-seed-rotated', 'secrets', 'new'),
    record('kms-v2-seed', 'secrets', 'old'),
    record('kms-v1', 'secrets', 'v1'),
    record('aescbc-32', 'secrets', 'cbc'),
    record('identity', 'secrets', 'plain'),
    { key: '/registry/secrets/a/odd', value: Buffer.from('k8s:enc:kms:v2:n:') },
    { key: '/registry/ranges/serviceips', value: Buffer.from('k8s\0') },
  ]
  const keyIdsExpected = new Set([second])
  const others = ['old key', 'v1 key', 'cbc provider']
  t.deepEqual(await unexpected(records, { keyIds: keyIdsExpected }), [...others, 'odd undecodable'])
  t.deepEqual(await unexpected(records, { keyIds: keyIdsExpected, plaintextIsNoKey: true }), [
    ...others,
    'plain plaintext',
    'odd undecodable',
  ])
  t.deepEqual(await unexpected(records, { noPlaintext: true }), [
    'plain plaintext',
    'odd undecodable',
  ])
  t.deepEqual(await unexpected(records, {}), [])
})

test('a configuration says for each resource what is expected', async (t) => {
  using config = parseEncryptionConfig(
    parse(`
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers: [{ kms: { apiVersion: v2, name: latchkey, endpoint: "unix:///x" } }]
  - resources: [configmaps]
    providers: [{ identity: {} }, { kms: { apiVersion: v2, name: latchkey, endpoint: "unix:///x" } }]
  - resources: ["*.apps"]
    providers: [{ secretbox: { keys: [{ name: secretbox-key, secret: "${Buffer.alloc(32).toString('base64')}" }] } }]
`),
  )
  const records = [
    record('kms-v2-seed', 'secrets', 'right'),
    record('kms-v1', 'secrets', 'v1'),
    record('identity', 'secrets', 'plain'),
    record('identity', 'configmaps', 'right-plain'),
    record('kms-v2-seed', 'configmaps', 'left-over'),
    record('identity', 'pods', 'not-encrypted'),
    record('secretbox', 'deployments', 'right-box'),
  ]
  const broken = ['v1 provider', 'plain plaintext', 'left-over provider']
  t.deepEqual(await unexpected(records, { config }), broken)
  t.deepEqual(await unexpected(records, { config, noPlaintext: true }), broken)
  t.deepEqual(await unexpected(records, { config, keyIds: new Set([second]) }), [
    'right key',
    ...broken,
  ])
})

test('superseded revisions are judged only on demand', async (t) => {
  const old = { ...record('kms-v2-seed'), state: 'superseded' as const }
  const expect = { keyIds: new Set([second]) }
  t.deepEqual((await scanned([old], { expect })).unexpected, [])
  t.is((await scanned([old], { expect, judgeHistory: true })).unexpected.length, 1)
})

test('with a prover, failures are counted by cause', async (t) => {
  const report = await scanned([record('kms-v2-seed'), record('kms-v1'), record('identity')], {
    prove: (_key, value) => (value.kind === 'kms-v1' ? 'ERR_KEY_UNKNOWN' : undefined),
  })
  t.is(report.proof?.decrypted, 1)
  t.like(report.proof?.failures[0], { cause: 'ERR_KEY_UNKNOWN', objects: 1 })
})

test('it ends on its signal, and awaits whoever takes the unexpected', async (t) => {
  const abort = new AbortController()
  let waiting = 0
  const many = Array.from({ length: 5 }, () => record('identity'))
  const scanning = scan([source(many)], {
    expect: { noPlaintext: true },
    signal: abort.signal,
    onUnexpected: async () => {
      waiting += 1
      if (waiting > 1) t.fail('called before the last call was done')
      await new Promise((done) => setImmediate(done))
      waiting -= 1
      abort.abort()
    },
  })
  await t.throwsAsync(scanning, { code: 'ERR_ABORTED' })
})

test('the unexpected come one by one as they are read', async (t) => {
  let read = 0
  const records = [record('identity', 'secrets', 'a'), record('identity', 'secrets', 'b')]
  const base = source(records)
  const counted: RecordSource = {
    facts: base.facts,
    async *batches(aborted) {
      for await (const batch of base.batches(aborted)) {
        read += 1
        yield batch
      }
    },
  }
  const seen: string[] = []
  for await (const { name } of findUnexpected([counted], {
    expect: { noPlaintext: true },
    signal,
  })) {
    seen.push(`${name} ${read}`)
  }
  t.deepEqual(seen, ['a 1', 'b 2'])
})
