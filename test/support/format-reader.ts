/**
 * A second implementation of src/keyring/FORMAT.md, written from that page: it imports nothing of
 * src/, and its XChaCha20-Poly1305 is another library's. Section numbers are those of the page.
 */
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { argon2Sync, createHash, createHmac, hkdfSync } from 'node:crypto'

const newline = 0x0a
const fields = {
  body: ['keyringId', 'clusterId', 'generation', 'createdAt', 'ancestors', 'slots', 'keys'],
  slot: ['id', 'type', 'createdAt', 'params', 'wrapped'],
  key: ['id', 'clusterId', 'state', 'createdAt', 'changedAt', 'wrapped'],
} as const

/** A body as JSON gives it. */
export interface ReadBody {
  readonly keyringId: string
  readonly clusterId: string
  readonly generation: number
  readonly createdAt: string
  readonly ancestors: readonly string[]
  readonly slots: readonly {
    readonly id: string
    readonly type: string
    readonly createdAt: string
    readonly params: Readonly<Record<string, string | number>>
    readonly wrapped: string
  }[]
  readonly keys: readonly {
    readonly id: string
    readonly clusterId: string
    readonly state: string
    readonly createdAt: string
    readonly changedAt: string
    readonly wrapped?: string
  }[]
}

/** A root as vectors give it. */
export interface VectorRoot {
  readonly type: 'file' | 'passphrase'
  readonly bytes: Uint8Array
}

/** Section 1: LP. */
export function lp(...parts: readonly string[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(Buffer.byteLength(part))
      return [length, Buffer.from(part)]
    }),
  )
}

/** Section 1: HKDF. */
export function hkdf(key: Uint8Array, salt: Uint8Array | string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, 32))
}

/** Section 1: opens a frame. */
export function openFrame(key: Uint8Array, data: Uint8Array, frame: Uint8Array): Buffer {
  if (frame[0] !== 1) throw new Error('frame version')
  return Buffer.from(
    xchacha20poly1305(key, frame.subarray(1, 25), data).decrypt(frame.subarray(25)),
  )
}

/** Section 1: makes a frame with a given nonce. */
export function sealFrame(
  key: Uint8Array,
  data: Uint8Array,
  content: { readonly nonce: Uint8Array; readonly plaintext: Uint8Array },
): Buffer {
  const sealed = xchacha20poly1305(key, content.nonce, data).encrypt(content.plaintext)
  return Buffer.concat([Buffer.of(1), content.nonce, sealed])
}

/** Section 3: opens a KMS v2 envelope. */
export function openV2(
  kek: Uint8Array,
  names: { readonly clusterId: string; readonly keyId: string },
  ciphertext: Uint8Array,
): Buffer {
  return openFrame(kek, lp('latchkey/envelope', '1', names.clusterId, names.keyId), ciphertext)
}

/** Section 3: the key id in a KMS v1beta1 envelope, and the plaintext. */
export function openV1(
  kek: Uint8Array,
  clusterId: string,
  ciphertext: Buffer,
): { readonly keyId: string; readonly plaintext: Buffer } {
  if (ciphertext[0] !== 1) throw new Error('envelope version')
  const end = 2 + (ciphertext[1] ?? 0)
  const keyId = ciphertext.toString('ascii', 2, end)
  const data = lp('latchkey/envelope-v1beta1', '1', clusterId, keyId)
  return { keyId, plaintext: openFrame(kek, data, ciphertext.subarray(end)) }
}

/** Sections 4 and 5: takes a document apart. */
export function readDocument(document: Buffer): {
  readonly kind: string
  readonly body: ReadBody
  readonly covered: Buffer
  readonly mac: Buffer
  readonly digest: string
} {
  const headerEnd = document.indexOf(newline)
  const [, kind, format, length] =
    /^latchkey-([a-z]{1,16})\/([1-9][0-9]{0,8}) ([1-9][0-9]{0,9})$/.exec(
      document.toString('ascii', 0, headerEnd),
    ) ?? []
  if (kind === undefined || format !== '1') throw new Error('header')
  const bodyEnd = headerEnd + 1 + Number(length)
  const line = document.toString('ascii', headerEnd + 1, bodyEnd)
  const body = JSON.parse(line) as ReadBody
  if (printBody(body) !== line) throw new Error('spelling')
  const covered = document.subarray(0, bodyEnd + 1)
  const last = document.toString('ascii', bodyEnd + 1)
  if (!/^[A-Za-z0-9_-]{43}\n$/.test(last)) throw new Error('last line')
  const digest = `sha256:${createHash('sha256').update(document).digest('hex')}`
  return { kind, body, covered, mac: Buffer.from(last.trim(), 'base64url'), digest }
}

/** Section 5: the canonical spelling. */
export function printBody(body: ReadBody): string {
  return object(body, fields.body, {
    ancestors: () => list(body.ancestors.map(string)),
    slots: () =>
      list(
        body.slots.map((slot) =>
          object(slot, fields.slot, {
            params: () =>
              `{${Object.entries(slot.params)
                .map(([name, value]) => `${string(name)}:${scalar(value)}`)
                .join(',')}}`,
          }),
        ),
      ),
    keys: () =>
      list(
        body.keys.map((key) =>
          object(
            key,
            fields.key.filter((name) => name !== 'wrapped' || key.state !== 'destroyed'),
            {},
          ),
        ),
      ),
  })
}

function object(
  value: object,
  names: readonly string[],
  special: Readonly<Record<string, () => string>>,
): string {
  const entries = names.map((name) => {
    const print = special[name]
    const plain = (value as Record<string, unknown>)[name]
    return `${string(name)}:${print === undefined ? scalar(plain) : print()}`
  })
  return `{${entries.join(',')}}`
}

function list(items: readonly string[]): string {
  return `[${items.join(',')}]`
}

function scalar(value: unknown): string {
  if (typeof value === 'string') return string(value)
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value)
  throw new Error('scalar')
}

function string(text: string): string {
  if (!/^[ -~]*$/.test(text)) throw new Error('string')
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

/** Section 7: the key under which a root wraps in a slot of these parameters. */
export function slotKey(
  root: VectorRoot,
  params: Readonly<Record<string, string | number>>,
): Buffer {
  const { salt, memoryKiB, passes, parallelism } = params
  const saltBytes = Buffer.from(String(salt), 'base64url')
  if (root.type === 'file') return hkdf(root.bytes, saltBytes, 'latchkey/root/file/1')
  return argon2Sync('argon2id', {
    message: root.bytes,
    nonce: saltBytes,
    memory: Number(memoryKiB),
    passes: Number(passes),
    parallelism: Number(parallelism),
    tagLength: 32,
  })
}

/** Section 7: the keyring key, out of the first slot that `root` opens. */
export function openSlot(kind: string, body: ReadBody, root: VectorRoot): Buffer {
  for (const slot of body.slots.filter(({ type }) => type === root.type)) {
    const key = slotKey(root, slot.params)
    const context = lp(
      `latchkey/slot/${kind}`,
      '1',
      body.keyringId,
      body.clusterId,
      slot.type,
      slot.id,
    )
    try {
      return openFrame(key, context, Buffer.from(slot.wrapped, 'base64url'))
    } catch {
      continue
    }
  }
  throw new Error('no slot opens')
}

/** What opening a document yields. */
export interface ReadKeys {
  readonly kind: string
  readonly body: ReadBody
  readonly digest: string
  readonly keyringKey: Buffer
  readonly materials: ReadonlyMap<string, Buffer>
}

/** Sections 4 to 7: everything a document holds, after checking its MAC. */
export function openDocument(document: Buffer, root: VectorRoot): ReadKeys {
  const { kind, body } = readDocument(document)
  return openWithKey(document, openSlot(kind, body, root))
}

/** The same, by a slot whose key is known. */
export function openDocumentWith(
  document: Buffer,
  way: {
    readonly key: Buffer
    readonly context: Buffer
    readonly slot: ReadBody['slots'][number]
  },
): ReadKeys {
  const { key, context, slot } = way
  return openWithKey(document, openFrame(key, context, Buffer.from(slot.wrapped, 'base64url')))
}

function openWithKey(document: Buffer, keyringKey: Buffer): ReadKeys {
  const { kind, body, covered, mac, digest } = readDocument(document)
  const macKey = hkdf(keyringKey, body.keyringId, 'latchkey/keyring/1/mac')
  if (!createHmac('sha256', macKey).update(covered).digest().equals(mac)) throw new Error('MAC')
  const wrapping = hkdf(keyringKey, body.keyringId, 'latchkey/keyring/1/wrap')
  const materials = new Map<string, Buffer>()
  for (const key of body.keys) {
    if (key.wrapped === undefined) continue
    const data = lp('latchkey/kek', '1', key.clusterId, key.id)
    materials.set(key.id, openFrame(wrapping, data, Buffer.from(key.wrapped, 'base64url')))
  }
  return { kind, body, digest, keyringKey, materials }
}
