import { createHmac } from 'node:crypto'
import { toBase64Url, utf8 } from '../base/bytes.ts'
import type { SecretBytes } from '../base/secret.ts'
import type { SecretEntry } from './content.ts'

const versionBytes = 16

/**
 * Names contents by keyed digests (HMAC-SHA-256, the first 128 bits, base64url: 22 characters).
 * Brokers that share the key agree on every version; without the key a version says nothing, not
 * even whether two secrets in different namespaces or of different names are equal.
 */
export interface Versioner {
  /** The version of what is delivered of one secret. */
  ofEntries(
    entries: readonly SecretEntry[],
    place: { readonly namespace: string; readonly secret: string },
  ): string
  /** The version of a set: an ordered list of texts that stand for its items. */
  ofSet(parts: readonly string[]): string
}

/** Takes ownership of `key`, which has 32 bytes. */
export function createVersioner(key: SecretBytes): Versioner {
  const digest = (parts: Iterable<string | Uint8Array>): string => {
    const hmac = createHmac('sha256', key.expose())
    const length = Buffer.alloc(4)
    for (const part of parts) {
      const bytes = typeof part === 'string' ? utf8(part) : part
      // As base/bytes.ts lengthPrefixed, without copying the values once more.
      length.writeUInt32BE(bytes.byteLength)
      hmac.update(length).update(bytes)
    }
    return toBase64Url(hmac.digest().subarray(0, versionBytes))
  }
  return {
    ofEntries: (entries, { namespace, secret }) =>
      digest([
        'latchkey/version/secret/1',
        namespace,
        secret,
        ...entries.flatMap(({ key: name, value }) => [name, value.expose()]),
      ]),
    ofSet: (parts) => digest(['latchkey/version/set/1', ...parts]),
  }
}
