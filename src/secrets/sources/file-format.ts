import { hkdfSync } from 'node:crypto'
import { concat, fromBase64Url, lengthPrefixed, toBase64Url, utf8 } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes, frameOverhead, openFrame, sealFrame } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import { maxContentBytes, maxEntries, type SecretContent } from '../content.ts'
import type { SecretTarget } from '../reference.ts'
import { decodeContent, encodeContent } from './file-content.ts'

// The byte formats of FORMAT.md beside this file.

const magic = Uint8Array.of(0x4c, 0x4b, 0x53, 0x01)
const idBytes = 16

/** Largest entry file that is read: every key and value at its limit, and the frame around them. */
export const maxEntryFileBytes =
  magic.byteLength + frameOverhead + 5 + maxEntries * (6 + 253) + maxContentBytes

/** A store's identity and the keys that its root gives for it. */
export interface StoreKeys extends Disposable {
  /** 22 characters of base64url: public, made once with the store. */
  readonly id: string
  readonly encryption: SecretBytes
  /** Gives versions: brokers on the same store agree on them. */
  readonly version: SecretBytes
}

/** Where an entry stands: bound into its encryption, so that no file can pass for another. */
export interface EntryPlace extends SecretTarget {
  readonly revision: number
}

/** Derives a store's keys from its root; the root stays the caller's. */
export function deriveStoreKeys(root: SecretBytes, id: string): StoreKeys {
  const derive = (purpose: string): SecretBytes =>
    SecretBytes.take(
      new Uint8Array(
        hkdfSync(
          'sha256',
          root.expose(),
          utf8(id),
          `latchkey/secret-store/${purpose}/1`,
          frameKeyBytes,
        ),
      ),
    )
  const encryption = derive('file')
  const version = derive('version')
  return {
    id,
    encryption,
    version,
    [Symbol.dispose]: () => {
      encryption[Symbol.dispose]()
      version[Symbol.dispose]()
    },
  }
}

/** A fresh store id. */
export function createStoreId(random: RandomBytes): string {
  return toBase64Url(random(idBytes))
}

/** The header, `store.json`. */
export function encodeHeader(keys: StoreKeys, random: RandomBytes): Uint8Array {
  const check = sealFrame(utf8(checkText), {
    key: keys.encryption,
    associatedData: checkContext(keys.id),
    random,
  })
  const header = { format: headerFormat, version: 1, id: keys.id, check: toBase64Url(check) }
  return utf8(`${JSON.stringify(header)}\n`)
}

/**
 * Reads a header and proves that `root` belongs to it.
 *
 * @throws `ERR_SECRET_STORE_INVALID`, `ERR_ROOT_WRONG`.
 */
export function openHeader(bytes: Uint8Array, root: SecretBytes): StoreKeys {
  const { id, check } = parseHeader(bytes)
  const keys = deriveStoreKeys(root, id)
  try {
    using opened = openFrame(check, { key: keys.encryption, associatedData: checkContext(id) })
    if (Buffer.from(opened.expose()).equals(utf8(checkText))) return keys
  } catch (error) {
    keys[Symbol.dispose]()
    if (!isLatchkeyError(error)) throw error
  }
  throw new LatchkeyError('ERR_ROOT_WRONG', 'the store root does not open this store', {
    hint: 'name the root file that the store was made with',
  })
}

/**
 * The id in a header, without proof that a root belongs to it.
 *
 * @throws `ERR_SECRET_STORE_INVALID`.
 */
export function readHeaderId(bytes: Uint8Array): string {
  return parseHeader(bytes).id
}

/** An entry file: content, or, for `undefined`, the mark of a removed secret. */
export function encodeEntry(
  content: SecretContent | undefined,
  options: { readonly keys: StoreKeys; readonly place: EntryPlace; readonly random: RandomBytes },
): Uint8Array {
  using plain = encodeContent(content)
  const frame = sealFrame(plain.expose(), {
    key: options.keys.encryption,
    associatedData: entryContext(options.keys.id, options.place),
    random: options.random,
  })
  return concat([magic, frame])
}

/**
 * Opens an entry file. `undefined` is the mark of a removed secret.
 *
 * @throws `ERR_SECRET_STORE_INVALID` for a file that is not one, was altered, or was moved here from
 * another name, namespace, revision or store: they look the same to an AEAD.
 */
export function decodeEntry(
  bytes: Uint8Array,
  options: { readonly keys: StoreKeys; readonly place: EntryPlace },
): SecretContent | undefined {
  if (!Buffer.from(bytes.subarray(0, magic.byteLength)).equals(magic)) {
    throw invalid('an entry of the store does not begin as one', newerOrDamaged)
  }
  try {
    using plain = openFrame(bytes.subarray(magic.byteLength), {
      key: options.keys.encryption,
      associatedData: entryContext(options.keys.id, options.place),
    })
    return decodeContent(plain.expose())
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
    throw invalid('an entry of the store cannot be opened', damaged)
  }
}

const headerFormat = 'latchkey-secret-store'
const checkText = 'latchkey'
const damaged =
  'the file was altered, or moved from elsewhere: put an unaltered copy back, or set the secret again'
const newerOrDamaged = 'it was damaged, or a newer release wrote it'

function checkContext(id: string): Uint8Array {
  return lengthPrefixed(['latchkey/secret-store/check/1', id])
}

function entryContext(id: string, place: EntryPlace): Uint8Array {
  return lengthPrefixed([
    'latchkey/secret-store/entry/1',
    id,
    place.namespace,
    place.name,
    String(place.revision),
  ])
}

function parseHeader(bytes: Uint8Array): { readonly id: string; readonly check: Uint8Array } {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw invalid('store.json is not JSON', damaged)
  }
  const { format, version, id, check, ...rest } = (value ?? {}) as Record<string, unknown>
  if (format !== headerFormat || version !== 1 || Object.keys(rest).length > 0) {
    throw invalid('store.json is not the header of a secret store of version 1', newerOrDamaged)
  }
  const frame = typeof check === 'string' ? fromBase64Url(check) : undefined
  if (typeof id !== 'string' || fromBase64Url(id)?.byteLength !== idBytes || frame === undefined) {
    throw invalid('store.json has no valid id and check', damaged)
  }
  return { id, check: frame }
}

function invalid(message: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_SECRET_STORE_INVALID', message, { hint })
}
