import test from 'ava'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { backupList, backupRegister, backupRemove } from '../../../src/admin/backup/command.ts'
import type { RegisteredBackup } from '../../../src/admin/backup/register.ts'
import { keysInit } from '../../../src/admin/keys/init.ts'
import { recordedContext, type RecordedContext } from '../../support/admin-context.ts'
import { etcdVectors, snapshotVector } from '../../support/etcd-vectors.ts'

const vectors = await etcdVectors()
const snapshot = await snapshotVector()
const keyring = { keyring: 'keyring', root: ['file:root'] }
const registration = {
  ...keyring,
  snapshot: 'snapshot.db',
  name: undefined,
  prefix: '/registry',
  signal: new AbortController().signal,
}

async function list(context: RecordedContext): Promise<readonly RegisteredBackup[]> {
  await backupList(context, { ...keyring, output: 'json' })
  return (JSON.parse(context.data.pop() ?? '') as { backups: readonly RegisteredBackup[] }).backups
}

test('a snapshot is registered with its digest, its revision and the keys found in it', async (t) => {
  const context = await recordedContext(t)
  await writeFile(context.path('snapshot.db'), snapshot.file)
  await t.throwsAsync(backupRegister(context, registration), { code: 'ERR_KEYRING_NOT_FOUND' })
  await keysInit(context, { ...keyring, clusterId: 'prod' })
  context.data.length = 0
  await backupRegister(context, registration)
  const digest = `sha256:${createHash('sha256').update(snapshot.file).digest('hex')}`
  t.deepEqual(context.data.splice(0), [digest])
  const [registered, ...more] = await list(context)
  t.deepEqual(more, [])
  t.like(registered, { name: 'snapshot.db', digest, bytes: snapshot.file.byteLength })
  t.true((registered?.revision ?? 0) > 0)
  for (const id of vectors.keyIds) t.true(registered?.keyIds.includes(id))

  await backupRegister(context, registration)
  t.is((await list(context)).length, 1)
  await backupRemove(context, { ...keyring, name: 'snapshot.db' })
  t.deepEqual(await list(context), [])
})

test('what is no snapshot is not registered', async (t) => {
  const context = await recordedContext(t)
  await keysInit(context, { ...keyring, clusterId: 'prod' })
  await writeFile(context.path('snapshot.db'), 'no snapshot at all')
  await t.throwsAsync(backupRegister(context, registration), { code: 'ERR_SNAPSHOT_INVALID' })
  t.deepEqual(await list(context), [])
})
