import { createHash } from 'node:crypto'
import { openSnapshot, type SnapshotRecord } from '../../../src/clients/snapshot/snapshot.ts'
import type { Etcd } from './etcd.ts'
import { etcdctl } from './etcdctl.ts'
import type { Ground } from './ground.ts'

/** A record without its bytes. */
export type Seen = Pick<SnapshotRecord, 'key' | 'modRevision' | 'state'> & {
  readonly sha256: string
}

/** Hex digest, by which values are compared. */
export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex')

/** All that our reader says of a snapshot file. */
export async function readAll(path: string): Promise<{
  readonly records: readonly Seen[]
  readonly revision: number
  readonly compactedRevision: number
  readonly checksum: string
}> {
  const { signal } = new AbortController()
  const snapshot = await openSnapshot(path, { signal })
  try {
    const records: Seen[] = []
    for await (const batch of snapshot.batches(signal)) {
      for (const { key, modRevision, state, value } of batch) {
        records.push({ key, modRevision, state, sha256: sha256(value) })
      }
    }
    const { revision, compactedRevision, checksum } = snapshot
    return { records, revision, compactedRevision, checksum }
  } finally {
    await snapshot.close()
  }
}

/** Every record that the real etcd serves at `revision`, in order of keys. */
export async function served(
  ground: Ground,
  etcd: Etcd,
  revision: number,
): Promise<readonly Omit<Seen, 'state'>[]> {
  const text = await etcdctl(ground, etcd, [
    ...['get', '', '--from-key', `--rev=${revision}`, '--write-out=json'],
  ])
  const { kvs = [] } = JSON.parse(text) as {
    kvs?: { key: string; value?: string; mod_revision: number }[]
  }
  return kvs.map((kv) => ({
    key: Buffer.from(kv.key, 'base64').toString(),
    modRevision: kv.mod_revision,
    sha256: sha256(Buffer.from(kv.value ?? '', 'base64')),
  }))
}

/** In order of keys, byte by byte, as etcd has them. */
export const byKey = (a: { readonly key: string }, b: { readonly key: string }): number =>
  Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))

/** The current records alone, without their state, as {@link served} has them. */
export function currentOf(records: readonly Seen[]): readonly Omit<Seen, 'state'>[] {
  return records
    .filter(({ state }) => state === 'current')
    .map(({ key, modRevision, sha256: digest }) => ({ key, modRevision, sha256: digest }))
    .sort(byKey)
}
