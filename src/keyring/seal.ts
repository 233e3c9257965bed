import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { lengthPrefixed, toBase64Url, utf8 } from '../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import { frameKeyBytes, openFrame, sealFrame } from '../base/frame.ts'
import type { RandomBytes } from '../base/random.ts'
import { SecretBytes } from '../base/secret.ts'
import type { DocumentBody, DocumentKind, ParsedDocument, Slot } from './document.ts'
import {
  encodeCovered,
  encodeDocument,
  macMismatch,
  maxDocumentBytes,
  parseDocument,
} from './document.ts'
import { maxKeys, maxSlots } from './document-body.ts'
import type { KeyInfo } from './key.ts'
import { maxGeneration } from './lineage.ts'
import type { RootKey } from './root.ts'

/**
 * The keyring key: 32 random bytes that every slot wraps. The MAC key and the key that wraps the
 * KEKs are derived from it (HKDF-SHA-256, RFC 5869, salt: the keyring id).
 */
export type KeyringKey = SecretBytes

/** What making anything new needs from outside. */
export interface MakeDeps {
  readonly random: RandomBytes
  /** Wall time in milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Opens the first slot that any of `roots` fits. A slot that cannot be asked, or is damaged, keeps
 * no other from being tried: any one way in is enough.
 *
 * @throws `ERR_ROOT_UNAVAILABLE`, `ERR_ROOT_INVALID`, `ERR_ROOT_WRONG`.
 */
export async function unwrapKeyringKey(
  body: DocumentBody,
  options: { readonly kind: DocumentKind; readonly roots: readonly RootKey[] },
): Promise<KeyringKey> {
  let unavailable: LatchkeyError | undefined
  let invalid: LatchkeyError | undefined
  for (const root of options.roots) {
    for (const slot of body.slots.filter(({ type }) => type === root.type)) {
      try {
        const key = await root.unwrap(slot, slotContext(body, { kind: options.kind, slot }))
        if (key?.byteLength === frameKeyBytes) return key
        key?.[Symbol.dispose]()
      } catch (error) {
        if (isLatchkeyError(error, 'ERR_ROOT_UNAVAILABLE')) unavailable ??= error
        else if (isLatchkeyError(error, 'ERR_ROOT_INVALID')) invalid ??= error
        else throw error
      }
    }
  }
  throw unavailable ?? invalid ?? wrongRoot(body, options.kind)
}

function wrongRoot(body: DocumentBody, kind: DocumentKind): LatchkeyError {
  const types = body.slots.map(({ type }) => type).join(', ')
  return new LatchkeyError(
    'ERR_ROOT_WRONG',
    `the given root opens none of the ${kind}'s ${body.slots.length} slot(s) (${types})`,
    {
      hint: `name a root that this ${kind} was made with, or that was added since; if this is one, the ${kind} was altered: put an unaltered copy back`,
    },
  )
}

/** Wraps the keyring key once for each root. */
export async function wrapKeyringKey(
  key: KeyringKey,
  options: {
    readonly kind: DocumentKind
    readonly body: Pick<DocumentBody, 'keyringId' | 'clusterId' | 'createdAt'>
    readonly roots: readonly RootKey[]
    readonly random: RandomBytes
  },
): Promise<readonly Slot[]> {
  const slots: Slot[] = []
  for (const root of options.roots) {
    const slot = {
      id: toBase64Url(options.random(16)),
      type: root.type,
      createdAt: options.body.createdAt,
    }
    const context = slotContext(options.body, { kind: options.kind, slot })
    slots.push({ ...slot, ...(await root.wrap(key, context)) })
  }
  return slots
}

/**
 * Encodes `body` and adds its MAC. What is returned can be read back: a document that no release
 * reads would lose every key in it.
 *
 * @throws `ERR_KEYRING_FULL` when a limit of the format is reached.
 */
export function sealDocument(
  body: DocumentBody,
  options: { readonly kind: DocumentKind; readonly key: KeyringKey },
): Uint8Array {
  checkLimits(body)
  const covered = encodeCovered(options.kind, body)
  const bytes = encodeDocument(covered, macOf(covered, { body, key: options.key }))
  if (bytes.byteLength > maxDocumentBytes) throw full(`${maxDocumentBytes} bytes`)
  try {
    parseDocument(bytes, options.kind)
  } catch (error) {
    throw new TypeError('the new document does not follow its own format', { cause: error })
  }
  return bytes
}

function checkLimits(body: DocumentBody): void {
  if (body.slots.length > maxSlots) {
    throw full(`${maxSlots} slots`, 'replace its roots with "latchkey keys rewrap --new-root"')
  }
  if (body.keys.length > maxKeys) throw full(`${maxKeys} keys, destroyed ones included`)
  if (body.generation > maxGeneration) throw full(`${maxGeneration} generations`)
}

function full(limit: string, hint?: string): LatchkeyError {
  const message = `a keyring has at most ${limit}; nothing was changed`
  return new LatchkeyError('ERR_KEYRING_FULL', message, hint === undefined ? {} : { hint })
}

/** Throws `ERR_KEYRING_EDITED` unless the document's MAC is that of its bytes. */
export function verifyDocument(document: ParsedDocument, key: KeyringKey): void {
  const expected = macOf(document.covered, { body: document.body, key })
  if (!timingSafeEqual(expected, document.mac)) throw macMismatch(document.kind)
}

/** Wraps a KEK under the keyring key. */
export function wrapKek(
  material: SecretBytes,
  options: {
    readonly info: Pick<KeyInfo, 'id' | 'clusterId'>
    readonly body: Pick<DocumentBody, 'keyringId'>
    readonly key: KeyringKey
    readonly random: RandomBytes
  },
): Uint8Array {
  using wrapping = derive(options.key, { body: options.body, purpose: 'wrap' })
  return sealFrame(material.expose(), {
    key: wrapping,
    associatedData: kekContext(options.info),
    random: options.random,
  })
}

/** Inverse of {@link wrapKek}; a wrapped key that does not open makes the whole document edited. */
export function unwrapKek(
  wrapped: Uint8Array,
  options: {
    readonly info: Pick<KeyInfo, 'id' | 'clusterId'>
    readonly document: ParsedDocument
    readonly key: KeyringKey
  },
): SecretBytes {
  using wrapping = derive(options.key, { body: options.document.body, purpose: 'wrap' })
  try {
    const material = openFrame(wrapped, {
      key: wrapping,
      associatedData: kekContext(options.info),
    })
    if (material.byteLength === frameKeyBytes) return material
    material[Symbol.dispose]()
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
  }
  throw macMismatch(options.document.kind)
}

function macOf(
  covered: Uint8Array,
  options: { readonly body: Pick<DocumentBody, 'keyringId'>; readonly key: KeyringKey },
): Uint8Array {
  using macKey = derive(options.key, { body: options.body, purpose: 'mac' })
  return createHmac('sha256', macKey.expose()).update(covered).digest()
}

function derive(
  key: KeyringKey,
  options: { readonly body: Pick<DocumentBody, 'keyringId'>; readonly purpose: 'mac' | 'wrap' },
): SecretBytes {
  const info = `latchkey/keyring/1/${options.purpose}`
  const salt = utf8(options.body.keyringId)
  return SecretBytes.take(
    new Uint8Array(hkdfSync('sha256', key.expose(), salt, info, frameKeyBytes)),
  )
}

function kekContext(info: Pick<KeyInfo, 'id' | 'clusterId'>): Uint8Array {
  return lengthPrefixed(['latchkey/kek', '1', info.clusterId, info.id])
}

function slotContext(
  body: Pick<DocumentBody, 'keyringId' | 'clusterId'>,
  options: { readonly kind: DocumentKind; readonly slot: Pick<Slot, 'id' | 'type'> },
): Uint8Array {
  const { kind, slot } = options
  return lengthPrefixed([
    `latchkey/slot/${kind}`,
    '1',
    body.keyringId,
    body.clusterId,
    slot.type,
    slot.id,
  ])
}
