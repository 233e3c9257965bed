import { LatchkeyError } from '../base/errors.ts'
import type { SecretBytes } from '../base/secret.ts'
import type { DocumentBody, DocumentKind, KeyRecord, Slot } from './document.ts'
import { parseDocument } from './document.ts'
import { parseKeyId, type KeyInfo, type LiveKey } from './key.ts'
import type { LineageMark } from './lineage.ts'
import type { RootKey } from './root.ts'
import { unwrapKek, unwrapKeyringKey, verifyDocument, type KeyringKey } from './seal.ts'

/**
 * An opened keyring: one generation, checked and unwrapped, immutable. Disposing of it wipes its
 * keys, so whoever swaps one for the next disposes of the former once no call uses it.
 */
export class Keyring implements LineageMark, Disposable {
  readonly kind: DocumentKind
  readonly body: DocumentBody
  /** `sha256:` digest of the document it was opened from. */
  readonly digest: string
  /** The active key's public part. */
  readonly active: KeyInfo
  readonly #key: KeyringKey
  readonly #materials: ReadonlyMap<string, LiveKey>

  private constructor(opened: {
    kind: DocumentKind
    body: DocumentBody
    digest: string
    key: KeyringKey
    materials: ReadonlyMap<string, LiveKey>
  }) {
    this.kind = opened.kind
    this.body = opened.body
    this.digest = opened.digest
    this.#key = opened.key
    this.#materials = opened.materials
    const active = opened.body.keys.find(({ state }) => state === 'active')
    if (active === undefined) throw new TypeError('a parsed document has an active key')
    this.active = active
  }

  /**
   * Opens `document` with the first slot that one of `roots` fits.
   *
   * @throws `ERR_KEYRING_TORN`, `_EDITED`, `_FOREIGN` or `_NEWER_FORMAT` as {@link parseDocument};
   * `ERR_ROOT_WRONG`, `ERR_ROOT_UNAVAILABLE`, `ERR_ROOT_INVALID` from the roots.
   */
  static async open(
    document: Uint8Array,
    options: { readonly roots: readonly RootKey[]; readonly kind?: DocumentKind },
  ): Promise<Keyring> {
    const kind = options.kind ?? 'keyring'
    const parsed = parseDocument(document, kind)
    const key = await unwrapKeyringKey(parsed.body, { kind, roots: options.roots })
    const materials = new Map<string, LiveKey>()
    try {
      verifyDocument(parsed, key)
      for (const info of parsed.body.keys) {
        if (info.wrapped === undefined) continue
        const material = unwrapKek(info.wrapped, { info, document: parsed, key })
        materials.set(info.id, { info, material })
      }
    } catch (error) {
      key[Symbol.dispose]()
      wipe(materials)
      throw error
    }
    return new Keyring({ kind, body: parsed.body, digest: parsed.digest, key, materials })
  }

  /** Identity of the keyring through all its generations. */
  get keyringId(): string {
    return this.body.keyringId
  }

  get clusterId(): string {
    return this.body.clusterId
  }

  get generation(): number {
    return this.body.generation
  }

  get ancestors(): readonly string[] {
    return this.body.ancestors
  }

  /** Every key that ever was, tombstones included, in order of birth. */
  get keys(): readonly KeyRecord[] {
    return this.body.keys
  }

  get slots(): readonly Slot[] {
    return this.body.slots
  }

  /** The public part of key `id`, or `undefined` when this keyring never had it. */
  find(id: string): KeyRecord | undefined {
    return this.body.keys.find((key) => key.id === id)
  }

  /** Key `id` with its material, which stays this keyring's. Throws `ERR_KEY_UNKNOWN`, `ERR_KEY_DESTROYED`. */
  live(id: string): LiveKey {
    const live = this.#materials.get(id)
    if (live !== undefined) return live
    if (this.find(id) !== undefined) {
      throw new LatchkeyError('ERR_KEY_DESTROYED', 'the key of this id was destroyed', {
        hint: 'restore a backup of the keyring from before its destruction',
      })
    }
    const born = parseKeyId(id)
    throw new LatchkeyError('ERR_KEY_UNKNOWN', 'no key of this id is in the keyring', {
      hint:
        born === undefined
          ? 'check the id: it has the form lk1.<generation>.<22 characters>'
          : 'another keyring made this id: compare the keyrings of all control planes with "latchkey keys list"',
    })
  }

  /** The key that wraps this keyring, for making the next generation. Stays this keyring's. */
  keyringKey(): KeyringKey {
    return this.#key
  }

  [Symbol.dispose](): void {
    this.#key[Symbol.dispose]()
    wipe(this.#materials)
  }
}

function wipe(materials: ReadonlyMap<string, { readonly material: SecretBytes }>): void {
  for (const { material } of materials.values()) material[Symbol.dispose]()
}
