import { LatchkeyError } from '../../src/base/errors.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { readGuardedFile } from '../../src/clients/guarded-file.ts'
import { processUid } from '../process-context.ts'

const versionKeyBytes = 32

/**
 * Reads a file that holds a secret of ours. Its group may read it, as pods have it with `fsGroup`.
 *
 * @throws `ERR_CONFIG_INVALID` when there is none, or others may read it; `ERR_IO`.
 */
export async function readSecretFile(path: string, title: string): Promise<Uint8Array> {
  const bytes = await readGuardedFile(path, {
    uid: processUid,
    forbiddenMode: 0o037,
    title,
    code: 'ERR_CONFIG_INVALID',
    maxBytes: 16_384,
  })
  if (bytes !== undefined) return bytes
  throw new LatchkeyError('ERR_CONFIG_INVALID', `there is no ${title} ${path}`)
}

/**
 * Reads a version key.
 *
 * @throws `ERR_CONFIG_INVALID` unless it is 32 raw bytes.
 */
export async function readKey(path: string): Promise<SecretBytes> {
  const key = SecretBytes.take(await readSecretFile(path, 'version key'))
  if (key.byteLength === versionKeyBytes) return key
  throw new LatchkeyError(
    'ERR_CONFIG_INVALID',
    `the version key ${path} has ${key.byteLength} bytes, expected ${versionKeyBytes}`,
    { hint: 'make one with: head -c 32 /dev/urandom' },
  )
}
