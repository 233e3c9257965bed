import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { toBase64Url } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import { diskError, temporaryPrefix, type Disk } from '../disk.ts'
import { bytesOf, fieldsOf, numberOf } from './codec.ts'
import type { EtcdConnections } from './connections.ts'

/** What a saved snapshot is. */
export interface SavedSnapshot {
  /** Size of the file. */
  readonly bytes: number
  /** Hex SHA-256 of the whole file. */
  readonly sha256: string
}

const connectMs = 5_000
/** Longest silence within the stream, milliseconds. */
const silenceMs = 60_000
/** etcd ends the stream with the SHA-256 of what went before, which its pages of 512 bytes show. */
const trailerBytes = 32
const pageBytes = 512

/**
 * Writes a snapshot of one member to a new file, mode 0600, as `etcdctl snapshot save` does. The file
 * appears when it is whole, its digest checked, and durable.
 *
 * @throws `ERR_USAGE` when the file exists; `ERR_ETCD_UNAVAILABLE` when the stream breaks or its digest
 * is another; `ERR_DISK_FULL`, `ERR_IO`.
 */
export async function saveSnapshot(
  connections: EtcdConnections,
  path: string,
  options: {
    readonly disk: Disk
    readonly random: RandomBytes
    readonly signal?: AbortSignal | undefined
    /** Bytes that are written, and that are to come. */
    readonly onProgress?: ((written: number, remaining: number) => void) | undefined
  },
): Promise<SavedSnapshot> {
  const { disk } = options
  const temporary = `${dirname(path)}/${temporaryPrefix}${toBase64Url(options.random(12))}`
  try {
    const file = await disk.create(temporary, 0o600)
    let saved: SavedSnapshot
    try {
      saved = await download(connections, (chunk) => file.write(chunk), options)
      await file.sync()
    } finally {
      await file.close()
    }
    await disk.link(temporary, path)
    await disk.unlink(temporary)
    await disk.syncDirectory(dirname(path))
    return saved
  } catch (error) {
    await disk.unlink(temporary).catch(() => undefined)
    if (systemCode(error) === 'EEXIST') {
      throw new LatchkeyError('ERR_USAGE', `${path} exists already`, { hint: 'name a new file' })
    }
    options.signal?.throwIfAborted()
    throw diskError(error, path)
  }
}

async function download(
  connections: EtcdConnections,
  write: (chunk: Buffer) => Promise<void>,
  options: {
    readonly signal?: AbortSignal | undefined
    readonly onProgress?: ((written: number, remaining: number) => void) | undefined
  },
): Promise<SavedSnapshot> {
  const silence = new AbortController()
  const signal = AbortSignal.any(
    options.signal === undefined ? [silence.signal] : [silence.signal, options.signal],
  )
  const request = Buffer.alloc(0)
  const { call, failed, endpoint } = await connections.download('Maintenance/Snapshot', request, {
    timeoutMs: connectMs,
    signal,
  })
  const timer = setTimeout(() => {
    silence.abort()
  }, silenceMs)
  const whole = createHash('sha256')
  const content = createHash('sha256')
  let [held, bytes] = [Buffer.alloc(0), 0]
  try {
    for await (const message of call as AsyncIterable<Buffer>) {
      timer.refresh()
      const fields = fieldsOf(message)
      const blob = bytesOf(fields.get(3))
      await write(blob)
      whole.update(blob)
      bytes += blob.byteLength
      const joined = Buffer.concat([held, blob])
      const known = Math.max(0, joined.byteLength - trailerBytes)
      content.update(joined.subarray(0, known))
      held = joined.subarray(known)
      options.onProgress?.(bytes, numberOf(fields.get(2)))
    }
  } catch (error) {
    if (isLatchkeyError(error) || systemCode(error) !== undefined) throw error
    throw failed(error)
  } finally {
    clearTimeout(timer)
    call.cancel()
  }
  if (bytes % pageBytes !== trailerBytes || !content.digest().equals(held)) {
    throw new LatchkeyError(
      'ERR_ETCD_UNAVAILABLE',
      `the snapshot of etcd ${endpoint} is not whole`,
      {
        hint: 'take it again; nothing was written',
      },
    )
  }
  return { bytes, sha256: whole.digest('hex') }
}
