import { createHash, timingSafeEqual } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { abortedError, LatchkeyError } from '../../base/errors.ts'
import { invalidSnapshot } from './errors.ts'

/** Bytes of the SHA-256 that `etcdctl snapshot save` puts behind the database. */
const trailerBytes = 32
const chunkBytes = 1024 * 1024

/** Whether a file of this many bytes has a checksum (etcdutl/snapshot/v3_snapshot.go, `hasChecksum`). */
export function hasChecksum(fileBytes: number): boolean {
  return fileBytes % 512 === trailerBytes
}

/**
 * Verifies the checksum behind the database, reading all of it once.
 *
 * @returns the bytes of the database without it.
 * @throws `ERR_SNAPSHOT_CHECKSUM`; `ERR_SNAPSHOT_INVALID` when the file shrinks; `ERR_ABORTED`.
 */
export async function verifyChecksum(
  handle: FileHandle,
  {
    fileBytes,
    signal,
    onBytes,
  }: {
    readonly fileBytes: number
    readonly signal: AbortSignal
    readonly onBytes?: ((bytes: number) => void) | undefined
  },
): Promise<number> {
  const end = fileBytes - trailerBytes
  const hash = createHash('sha256')
  const buffer = Buffer.alloc(chunkBytes)
  for (let at = 0; at < end;) {
    if (signal.aborted) throw abortedError(signal)
    const length = Math.min(chunkBytes, end - at)
    const { bytesRead } = await handle.read(buffer, 0, length, at)
    if (bytesRead === 0) throw invalidSnapshot('it ends too early')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
    onBytes?.(at)
  }
  const { bytesRead } = await handle.read(buffer, 0, trailerBytes, end)
  if (
    bytesRead === trailerBytes &&
    timingSafeEqual(hash.digest(), buffer.subarray(0, trailerBytes))
  ) {
    return end
  }
  throw new LatchkeyError(
    'ERR_SNAPSHOT_CHECKSUM',
    'the snapshot is not what etcd wrote: its content does not have the SHA-256 at its end',
    { hint: 'copy it again from where it was taken, or use another snapshot' },
  )
}
