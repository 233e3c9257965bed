import test, { type ExecutionContext } from 'ava'
import { writeFile } from 'node:fs/promises'
import { snapshotSource } from '../../src/admin/etcd/snapshot-source.ts'
import { checkBackup, presentBackupCheck } from '../../src/admin/keys/backup-check.ts'
import { openCurrent } from '../../src/admin/keys/current.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import type { RecordSource } from '../../src/storage/record.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'
import { etcdVectors, openVectorBackup, snapshotVector } from '../support/etcd-vectors.ts'

const vectors = await etcdVectors()
const snapshot = await snapshotVector()
const backup = await openVectorBackup()
const [first, second] = vectors.keyIds
const { signal } = new AbortController()
const prefix = '/registry'

async function context(
  t: ExecutionContext,
): Promise<{ made: RecordedContext; source: RecordSource }> {
  const made = await recordedContext(t)
  await writeFile(made.path('snapshot.db'), snapshot.file)
  return { made, source: snapshotSource(made.path('snapshot.db')) }
}

test('a backup that has every key passes, and each object was opened', async (t) => {
  const { made, source } = await context(t)
  const check = await checkBackup(made, { backup, source, prefix, signal })
  t.deepEqual(check, {
    keys: [
      { keyId: first, objects: 9, history: 0, backup: 'held' },
      { keyId: second, objects: 3, history: 0, backup: 'held' },
    ],
    damaged: 0,
    undecodable: 0,
    elsewhere: 0,
    otherProviders: 15,
  })
  await presentBackupCheck(made, check, 'json')
  t.deepEqual(JSON.parse(made.data.join('')), check)
  t.regex(made.said.join('\n'), /15 object\(s\) are under other providers/)
})

test('a backup that lacks keys is refused, with each key and how many need it', async (t) => {
  const { made, source } = await context(t)
  const other = { keyring: 'other', root: ['file:root'] }
  await keysInit(made, { ...other, clusterId: 'another' })
  using current = await openCurrent(made, other)
  const check = await checkBackup(made, { backup: current.keyring, source, prefix, signal })
  t.deepEqual(
    check.keys.map((key) => [key.keyId, key.objects, key.backup]),
    [
      [first, 9, 'missing'],
      [second, 3, 'missing'],
    ],
  )
  await t.throwsAsync(presentBackupCheck(made, check, 'table'), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /lacks 2 key\(s\) that 12 object\(s\)/,
  })
  t.regex(made.said.join('\n'), new RegExp(`lacking: ${first}, needed by 9 object`))
})

test('a destroyed key is as good as none, and old revisions alone are no loss', async (t) => {
  const { made } = await context(t)
  const key = { keyId: first, objects: 0, history: 2, backup: 'destroyed' } as const
  const found = { keys: [key], damaged: 0, undecodable: 0, elsewhere: 0, otherProviders: 0 }
  await presentBackupCheck(made, found, 'table')
  t.regex(made.said.join('\n'), /needed by 0 object\(s\) and 2 old revision\(s\)/)
  const needed = { ...found, keys: [{ ...key, objects: 1 }] }
  await t.throwsAsync(presentBackupCheck(made, needed, 'table'), { code: 'ERR_WOULD_LOSE_DATA' })
})

/** A source with these records, all current. */
const sourceOf = (...records: readonly (readonly [key: string, value: Uint8Array])[]) =>
  ({
    facts: { location: 'a test', revision: 2, hasHistory: true },
    async *batches() {
      yield records.map(
        ([key, value]) => ({ key, value, modRevision: 2, state: 'current' }) as const,
      )
    },
  }) satisfies RecordSource

test('an object that does not open although its key is there is a finding', async (t) => {
  const { made } = await context(t)
  const vector = vectors.objects.find(({ title }) => title === 'kms-v2-seed')
  if (vector === undefined) return t.fail()
  const source = sourceOf(['/registry/secrets/a/moved', vector.value])
  const check = await checkBackup(made, { backup, source, prefix, signal })
  t.is(check.damaged, 1)
  await t.throwsAsync(presentBackupCheck(made, check, 'yaml'), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /1 object\(s\) of the snapshot do not open/,
  })
})

test('where nothing is found that a KMS provider encrypted, nothing is proved', async (t) => {
  const { made, source } = await context(t)
  const check = await checkBackup(made, { backup, source, prefix: '/kubernetes.io', signal })
  t.deepEqual(check.keys, [])
  t.true(check.elsewhere >= 12)
  await t.throwsAsync(presentBackupCheck(made, check, 'table'), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /proves nothing/,
  })
  t.regex(made.said.join('\n'), /encrypted value\(s\) are outside the prefix/)
})

test('a damaged value, of which nobody can say which key it needs, is a finding', async (t) => {
  const { made } = await context(t)
  const vector = vectors.objects.find(({ title }) => title === 'kms-v2-seed')
  if (vector === undefined) return t.fail()
  for (const damaged of ['k8s:enc:kms:v2:latchkey:', 'k8s:enc:kms:v1:', 'k8s:enc:']) {
    const source = sourceOf(
      [vector.key, vector.value],
      ['/registry/secrets/a/damaged', Buffer.from(damaged)],
    )
    const check = await checkBackup(made, { backup, source, prefix, signal })
    t.is(check.undecodable, 1, damaged)
    await t.throwsAsync(presentBackupCheck(made, check, 'table'), {
      code: 'ERR_WOULD_LOSE_DATA',
      message: /1 object\(s\) of the snapshot are damaged/,
    })
  }
})
