import { toBase64Url } from '../base/bytes.ts'
import { rfc3339 } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import { frameKeyBytes } from '../base/frame.ts'
import { SecretBytes } from '../base/secret.ts'
import type { DocumentBody, DocumentKind, KeyRecord, Slot } from './document.ts'
import { clusterIdPattern } from './document-body.ts'
import { makeKeyId, type KeyInfo } from './key.ts'
import type { Keyring } from './keyring.ts'
import { ancestorsOfSuccessor } from './lineage.ts'
import type { RootKey } from './root.ts'
import { sealDocument, wrapKek, wrapKeyringKey, type MakeDeps } from './seal.ts'

/** A document that is made but not yet published. */
export interface NextDocument {
  readonly generation: number
  readonly bytes: Uint8Array
}

/** Public parts and materials from which a document is sealed under a fresh keyring key. */
interface Contents {
  readonly kind: DocumentKind
  readonly body: Omit<DocumentBody, 'slots' | 'keys'>
  readonly keys: readonly { readonly info: KeyInfo; readonly material: SecretBytes | undefined }[]
}

/**
 * The first generation of a new keyring, with one active key.
 *
 * @throws `ERR_USAGE` when the cluster id is not well-formed.
 */
export async function createKeyring(
  options: { readonly clusterId: string | undefined; readonly roots: readonly RootKey[] },
  deps: MakeDeps,
): Promise<NextDocument> {
  const clusterId = options.clusterId ?? toBase64Url(deps.random(16)).replace(/^[_-]|[_-]$/g, 'x')
  if (!clusterIdPattern.test(clusterId)) {
    throw new LatchkeyError('ERR_USAGE', 'the cluster id is not well-formed', {
      hint: 'use 1 to 63 letters, digits, ".", "_" or "-", beginning and ending with a letter or digit',
    })
  }
  using material = SecretBytes.take(deps.random(frameKeyBytes))
  const createdAt = rfc3339(deps.now())
  const info: KeyInfo = {
    id: makeKeyId(1, deps.random),
    clusterId,
    state: 'active',
    createdAt,
    changedAt: createdAt,
  }
  const keyringId = toBase64Url(deps.random(16))
  const body = { keyringId, clusterId, generation: 1, createdAt, ancestors: [] }
  return await sealFresh({ kind: 'keyring', body, keys: [{ info, material }] }, options.roots, deps)
}

/** The generation after `current`, with other keys or slots, under the same keyring key. */
export function amendKeyring(
  current: Keyring,
  change: {
    readonly keys?: readonly KeyRecord[]
    readonly slots?: readonly Slot[]
    /** When it is made, as in the document. */
    readonly createdAt: string
  },
): NextDocument {
  requireKind(current, 'keyring')
  const body: DocumentBody = {
    ...current.body,
    generation: current.generation + 1,
    createdAt: change.createdAt,
    ancestors: ancestorsOfSuccessor(current),
    keys: change.keys ?? current.keys,
    slots: change.slots ?? current.slots,
  }
  const bytes = sealDocument(body, { kind: 'keyring', key: current.keyringKey() })
  return { generation: body.generation, bytes }
}

/** The generation after `current` with one more way in; the ways that were there stay. */
export async function addRoots(
  current: Keyring,
  roots: readonly RootKey[],
  deps: MakeDeps,
): Promise<NextDocument> {
  requireKind(current, 'keyring')
  const createdAt = rfc3339(deps.now())
  const body = { ...current.body, createdAt }
  const random = deps.random
  const added = await wrapKeyringKey(current.keyringKey(), { kind: 'keyring', body, roots, random })
  return amendKeyring(current, { slots: [...current.slots, ...added], createdAt })
}

/**
 * The generation after `current` with `roots` as the only ways in. The keyring key is a new one and
 * every KEK is wrapped anew, so that whoever holds a former root, and a copy of a former
 * generation, learns nothing of keys made from here on. etcd is not touched.
 */
export async function replaceRoots(
  current: Keyring,
  roots: readonly RootKey[],
  deps: MakeDeps,
): Promise<NextDocument> {
  requireKind(current, 'keyring')
  return sealFresh(
    {
      kind: 'keyring',
      body: {
        ...current.body,
        generation: current.generation + 1,
        createdAt: rfc3339(deps.now()),
        ancestors: ancestorsOfSuccessor(current),
      },
      keys: contentsOf(current),
    },
    roots,
    deps,
  )
}

/**
 * A backup: the same content in a document of kind `backup`, under a keyring key and roots of its
 * own, so that it opens without the keyring's root. It carries the digest of the generation it was
 * made from, which lets a restored keyring prove its descent.
 */
export async function sealBackup(
  current: Keyring,
  roots: readonly RootKey[],
  deps: MakeDeps,
): Promise<Uint8Array> {
  requireKind(current, 'keyring')
  const body = {
    ...current.body,
    createdAt: rfc3339(deps.now()),
    ancestors: ancestorsOfSuccessor(current),
  }
  return (await sealFresh({ kind: 'backup', body, keys: contentsOf(current) }, roots, deps)).bytes
}

/**
 * A keyring made of an opened backup: same keys, ids and cluster, its generation above the backup's
 * and, where the node remembers one, above the generation that the node has used. A key that was
 * staged is superseded now: it may have been activated since, and must not be given up lightly.
 */
export async function restoreBackup(
  backup: Keyring,
  roots: readonly RootKey[],
  deps: MakeDeps & { readonly minGeneration?: number },
): Promise<NextDocument> {
  requireKind(backup, 'backup')
  const createdAt = rfc3339(deps.now())
  const body = {
    ...backup.body,
    generation: Math.max(backup.generation + 1, deps.minGeneration ?? 1),
    createdAt,
  }
  const keys = contentsOf(backup).map(({ info, material }) => ({
    info:
      info.state === 'staged'
        ? { ...info, state: 'superseded' as const, changedAt: createdAt }
        : info,
    material,
  }))
  return sealFresh({ kind: 'keyring', body, keys }, roots, deps)
}

/**
 * Throws `TypeError` unless `keyring` was opened as what it is used for: an amended backup would be
 * a document that no root opens.
 */
export function requireKind(keyring: Keyring, kind: DocumentKind): void {
  if (keyring.kind !== kind) throw new TypeError(`expected a ${kind}, got a ${keyring.kind}`)
}

function contentsOf(keyring: Keyring): Contents['keys'] {
  return keyring.keys.map((info) => ({
    info,
    material: info.state === 'destroyed' ? undefined : keyring.live(info.id).material,
  }))
}

async function sealFresh(
  contents: Contents,
  roots: readonly RootKey[],
  deps: MakeDeps,
): Promise<NextDocument> {
  if (roots.length === 0) throw new LatchkeyError('ERR_USAGE', 'no root was given')
  const { kind } = contents
  using key = SecretBytes.take(deps.random(frameKeyBytes))
  const keys = contents.keys.map(({ info, material }) => ({
    ...info,
    wrapped: material && wrapKek(material, { info, body: contents.body, key, random: deps.random }),
  }))
  const { random } = deps
  const slots = await wrapKeyringKey(key, { kind, body: contents.body, roots, random })
  const bytes = sealDocument({ ...contents.body, slots, keys }, { kind, key })
  return { generation: contents.body.generation, bytes }
}
