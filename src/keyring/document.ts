import { fromBase64Url, fromUtf8, sha256Label, toBase64Url, utf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseBody } from './document-body.ts'
import type { KeyInfo } from './key.ts'
import type { WrappedByRoot } from './root.ts'

/** What a document is for. The two kinds have one layout and different first words. */
export type DocumentKind = 'keyring' | 'backup'

/** The document format that this release reads and writes; see FORMAT.md. */
export const documentFormat = 1

/** Largest document in bytes, of this format and of any later one. */
export const maxDocumentBytes = 4 * 1024 * 1024

/** One way into the keyring: its key, wrapped under one root. */
export interface Slot extends WrappedByRoot {
  /** 22 characters base64url, random. */
  readonly id: string
  readonly type: string
  readonly createdAt: string
}

/** A key as the document holds it; `wrapped` is absent exactly when the key is destroyed. */
export interface KeyRecord extends KeyInfo {
  readonly wrapped: Uint8Array | undefined
}

/** Everything that a document says. */
export interface DocumentBody {
  /** 22 characters base64url, random, given at init. */
  readonly keyringId: string
  /** Immutable; in new keys' associated data. */
  readonly clusterId: string
  readonly generation: number
  /** When this generation was made. */
  readonly createdAt: string
  readonly ancestors: readonly string[]
  readonly slots: readonly Slot[]
  readonly keys: readonly KeyRecord[]
}

/** A document taken apart, its MAC not yet checked. */
export interface ParsedDocument {
  readonly kind: DocumentKind
  readonly body: DocumentBody
  /** The bytes that the MAC covers: header and body lines. */
  readonly covered: Uint8Array
  readonly mac: Uint8Array
  /** `sha256:` digest of the whole document. */
  readonly digest: string
}

const macBytes = 32
const macCharacters = 43
const headerPattern = /^latchkey-([a-z]{1,16})\/([1-9][0-9]{0,8}) ([1-9][0-9]{0,9})$/
const maxHeaderBytes = 64

/** The header and body lines of a document: what its MAC is computed over. */
export function encodeCovered(kind: DocumentKind, body: DocumentBody): Uint8Array {
  const line = JSON.stringify({
    keyringId: body.keyringId,
    clusterId: body.clusterId,
    generation: body.generation,
    createdAt: body.createdAt,
    ancestors: body.ancestors,
    slots: body.slots.map((slot) => ({
      id: slot.id,
      type: slot.type,
      createdAt: slot.createdAt,
      params: slot.params,
      wrapped: toBase64Url(slot.wrapped),
    })),
    keys: body.keys.map((key) => ({
      id: key.id,
      clusterId: key.clusterId,
      state: key.state,
      createdAt: key.createdAt,
      changedAt: key.changedAt,
      ...(key.wrapped === undefined ? {} : { wrapped: toBase64Url(key.wrapped) }),
    })),
  })
  return utf8(`latchkey-${kind}/${documentFormat} ${line.length}\n${line}\n`)
}

/** The whole document: what is covered, the MAC, a line feed. */
export function encodeDocument(covered: Uint8Array, mac: Uint8Array): Uint8Array {
  return Buffer.concat([covered, utf8(`${toBase64Url(mac)}\n`)])
}

/**
 * Takes a document apart and checks its form, not its MAC. What is accepted re-encodes to the same
 * bytes.
 *
 * Backups fail with the same codes as keyrings; the messages say which of the two it was.
 *
 * @throws `ERR_KEYRING_TORN` when it was cut short, `ERR_KEYRING_NEWER_FORMAT`,
 * `ERR_KEYRING_FOREIGN` when it is no Latchkey document or one of the other kind,
 * `ERR_KEYRING_EDITED` when it is complete but not as Latchkey writes it.
 */
export function parseDocument(bytes: Uint8Array, kind: DocumentKind): ParsedDocument {
  if (bytes.byteLength > maxDocumentBytes) throw edited(kind, 'is larger than any that was written')
  const { text, lineLength, headerLength } = parseHeader(bytes, kind)
  const coveredLength = headerLength + lineLength + 1
  const expected = coveredLength + macCharacters + 1
  if (bytes.byteLength < expected || bytes.subarray(headerLength, expected).includes(0)) {
    throw torn(kind)
  }
  if (bytes.byteLength > expected) throw edited(kind, 'has bytes after its end')
  const mac = fromBase64Url(text.slice(coveredLength, expected - 1))
  if (mac?.byteLength !== macBytes || text[expected - 1] !== '\n') {
    throw edited(kind, 'has no well-formed last line')
  }
  const line = text.slice(headerLength, coveredLength - 1)
  const parsed = parseBody(line)
  if (typeof parsed === 'string') throw edited(kind, parsed)
  const covered = bytes.slice(0, coveredLength)
  if (!Buffer.from(encodeCovered(kind, parsed)).equals(covered)) {
    throw edited(kind, 'is not spelled as Latchkey spells it')
  }
  return { kind, body: parsed, covered, mac, digest: sha256Label(bytes) }
}

function parseHeader(
  bytes: Uint8Array,
  kind: DocumentKind,
): { text: string; lineLength: number; headerLength: number } {
  const end = bytes.subarray(0, maxHeaderBytes).indexOf(0x0a)
  const first = fromUtf8(bytes.subarray(0, end === -1 ? maxHeaderBytes : end)) ?? ''
  const magic = `latchkey-${kind}/`
  if (bytes.every((byte) => byte === 0)) throw torn(kind)
  if (end === -1 && (first.startsWith(magic) || magic.startsWith(first)) && first !== '') {
    if (bytes.byteLength < maxHeaderBytes) throw torn(kind)
  }
  const match = headerPattern.exec(end === -1 ? '' : first)
  if (match === null) {
    throw new LatchkeyError('ERR_KEYRING_FOREIGN', `this file is not a Latchkey ${kind}`, {
      hint:
        kind === 'keyring'
          ? 'remove it if it does not belong here; if the keyring is lost, restore a backup with "latchkey keys restore"'
          : 'name the file that "latchkey keys backup" wrote',
    })
  }
  const [, foundKind, version, length] = match
  if (foundKind !== kind) {
    throw new LatchkeyError(
      'ERR_KEYRING_FOREIGN',
      `this file is a Latchkey ${foundKind ?? ''}, expected a ${kind}`,
      {
        hint:
          foundKind === 'backup'
            ? 'take it out of the keyring directory; "latchkey keys restore --from" makes a keyring of a backup'
            : 'name the file that "latchkey keys backup" wrote',
      },
    )
  }
  if (Number(version) > documentFormat) {
    throw new LatchkeyError(
      'ERR_KEYRING_NEWER_FORMAT',
      `the ${kind} has format ${version ?? ''}; this release reads up to format ${documentFormat}`,
      { hint: 'run the release that wrote it, or a later one; nothing was changed' },
    )
  }
  // Latin-1 keeps one character a byte, so offsets in text are offsets in bytes.
  return {
    text: Buffer.from(bytes).toString('latin1'),
    lineLength: Number(length),
    headerLength: end + 1,
  }
}

const tornHints: Readonly<Record<DocumentKind, string>> = {
  keyring:
    'remove it, and the one before it, which is kept beside it, is current again; if there is none, restore a backup with "latchkey keys restore"',
  backup: 'copy it again from where it was made, or use another backup',
}

const editedHints: Readonly<Record<DocumentKind, string>> = {
  keyring:
    'put the unaltered file back, or remove it, and the one before it, which is kept beside it, is current again; if there is none, restore a backup with "latchkey keys restore"',
  backup: 'copy it again from where it was made, or use another backup',
}

function torn(kind: DocumentKind): LatchkeyError {
  return new LatchkeyError(
    'ERR_KEYRING_TORN',
    `the ${kind} is cut short: it was not written whole`,
    { hint: tornHints[kind] },
  )
}

function edited(kind: DocumentKind, what: string): LatchkeyError {
  return new LatchkeyError('ERR_KEYRING_EDITED', `the ${kind} was edited or damaged: it ${what}`, {
    hint: editedHints[kind],
  })
}

/** The error for a document whose MAC does not fit its bytes. */
export function macMismatch(kind: DocumentKind): LatchkeyError {
  return edited(kind, 'does not carry the MAC of its content')
}
