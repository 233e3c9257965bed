import type { ProvingClient, ProvingEtcd } from '../../src/admin/keys/unneeded.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { WireMessage } from '../../src/base/protobuf.ts'
import type { EtcdEntry } from '../../src/clients/etcd/messages.ts'

/** The etcd of API servers, as far as a proof looks at it. */
export interface FakeProvingEtcd extends ProvingEtcd {
  /** Puts a Secret under a key; `version` is that of the KMS provider. */
  readonly store: (name: string, keyId: string, version?: 1 | 2) => void
  readonly remove: (name: string) => void
  /** Puts an encrypted object under any etcd key. */
  readonly put: (key: string, keyId: string) => void
  /** What was compacted to, 0 at first. */
  readonly compacted: () => number
  readonly compactTo: (revision: number) => void
  readonly revision: () => number
  /** As a restored snapshot does, where the ids stay the same. */
  readonly takeBackTo: (revision: number) => void
}

/** An etcd in memory with Secrets of the namespace `shop`. */
export function fakeProvingEtcd(clusterId = 7): FakeProvingEtcd {
  const values = new Map<string, Buffer>()
  let [revision, compacted] = [100, 0]
  const client: ProvingClient = {
    location: 'https://127.0.0.1:2379',
    clusterId: async () => clusterId,
    compact: async (to) => {
      if (to <= compacted) throw new LatchkeyError('ERR_ETCD_COMPACTED', 'compacted already')
      compacted = to
    },
    range: async (_key, query) => {
      const at = query?.revision ?? 0
      if (at !== 0 && at < compacted) throw new LatchkeyError('ERR_ETCD_COMPACTED', 'compacted')
      if (at > revision) throw new LatchkeyError('ERR_ETCD_REFUSED', 'a future revision')
      return { entries: [], revision, more: false, count: 0 }
    },
    pages: async function* () {
      const entries = [...values].map(([key, value]): EtcdEntry => ({
        key,
        value,
        createRevision: 1,
        modRevision: revision,
        version: 1,
        leased: false,
      }))
      yield { entries, revision, total: entries.length }
    },
  }
  return {
    etcd: [client],
    prefix: '/registry',
    signal: new AbortController().signal,
    store: (name, keyId, version = 2) => {
      revision += 1
      values.set(`/registry/secrets/shop/${name}`, version === 2 ? v2(keyId) : v1(keyId))
    },
    remove: (name) => {
      revision += 1
      values.delete(`/registry/secrets/shop/${name}`)
    },
    put: (key, keyId) => {
      revision += 1
      values.set(key, v2(keyId))
    },
    compacted: () => compacted,
    compactTo: (to) => {
      compacted = to
    },
    revision: () => revision,
    takeBackTo: (former) => {
      revision = former
    },
  }
}

function v2(keyId: string): Buffer {
  const object = new WireMessage()
    .bytes(1, Buffer.alloc(80, 1))
    .text(2, keyId)
    .bytes(3, Buffer.alloc(73, 2))
    .varint(5, 1)
  return Buffer.concat([Buffer.from('k8s:enc:kms:v2:latchkey:'), object.encode()])
}

function v1(keyId: string): Buffer {
  const id = Buffer.from(keyId)
  const wrapped = Buffer.concat([Buffer.of(1, id.byteLength), id, Buffer.alloc(73, 2)])
  const length = Buffer.alloc(2)
  length.writeUInt16BE(wrapped.byteLength)
  return Buffer.concat([
    Buffer.from('k8s:enc:kms:v1:latchkey:'),
    length,
    wrapped,
    Buffer.alloc(60, 3),
  ])
}
