import type { HttpsClient } from './https.ts'

/** One key as etcd holds it. */
export interface StoredValue {
  readonly key: string
  readonly value: Buffer
  /** Revision of the last write, which any write at all moves. */
  readonly modRevision: number
}

/** Raw reads and writes in etcd, below the API server. */
export interface EtcdClient {
  get(key: string): Promise<StoredValue | undefined>
  /** Every key that begins with `prefix`, in order. */
  list(prefix: string): Promise<readonly StoredValue[]>
  put(key: string, value: Uint8Array): Promise<void>
  /** Whether the member answers and its cluster has a leader. */
  healthy(): Promise<boolean>
}

interface RangeAnswer {
  readonly kvs?: readonly { key: string; value?: string; mod_revision: string }[]
}

/** Speaks to etcd's own JSON gateway (`/v3/kv/…`), which mirrors its gRPC API. */
export function createEtcdClient(https: HttpsClient): EtcdClient {
  const call = async (path: string, message: Record<string, unknown>): Promise<unknown> => {
    const { status, body } = await https.call({
      method: 'POST',
      path,
      body: JSON.stringify(message),
      timeoutMs: 10_000,
    })
    if (status !== 200) throw new Error(`etcd answered ${status}: ${body}`)
    return JSON.parse(body)
  }
  const range = async (message: Record<string, unknown>): Promise<readonly StoredValue[]> => {
    const { kvs = [] } = (await call('/v3/kv/range', message)) as RangeAnswer
    return kvs.map((kv) => ({
      key: Buffer.from(kv.key, 'base64').toString(),
      value: Buffer.from(kv.value ?? '', 'base64'),
      modRevision: Number(kv.mod_revision),
    }))
  }
  return {
    get: async (key) => (await range({ key: base64(key) }))[0],
    list: async (prefix) =>
      await range({ key: base64(prefix), range_end: base64(after(prefix)), sort_order: 'ASCEND' }),
    put: async (key, value) => {
      await call('/v3/kv/put', { key: base64(key), value: base64(value) })
    },
    healthy: async () => {
      const { status, body } = await https.call({ method: 'GET', path: '/health', timeoutMs: 2000 })
      return status === 200 && (JSON.parse(body) as { health: string }).health === 'true'
    },
  }
}

function base64(data: string | Uint8Array): string {
  return Buffer.from(data as Uint8Array).toString('base64')
}

/** The first key behind all that begin with `prefix`: its last byte plus one. */
function after(prefix: string): Buffer {
  const end = Buffer.from(prefix)
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1)
  return end
}
