import { adoptKeyring } from '../../../src/keyring/adopt.ts'
import type { DocumentKind } from '../../../src/keyring/document.ts'
import {
  addRoots,
  amendKeyring,
  createKeyring,
  replaceRoots,
  restoreBackup,
  sealBackup,
} from '../../../src/keyring/generations.ts'
import { Keyring } from '../../../src/keyring/keyring.ts'
import type { MakeDeps } from '../../../src/keyring/seal.ts'
import { activateKey, destroyKey, retireKey, stageKey } from '../../../src/keyring/transitions.ts'
import { seededRandom } from '../seeded-random.ts'
import {
  fileBytes,
  hex,
  otherFileBytes,
  rootOfFile,
  rootOfPassphrase,
  text,
  type DocumentVector,
  type Root,
} from './shape.ts'

/** A vector, and the keyring that it opens to. */
export interface MadeDocument {
  readonly vector: DocumentVector
  readonly keyring: Keyring
}

/** Documents in every state that commands can bring about. */
export async function makeDocuments(): Promise<readonly MadeDocument[]> {
  const made: MadeDocument[] = []
  const file = rootOfFile(fileBytes, 'documents file')
  const otherFile = rootOfFile(otherFileBytes, 'documents other file')
  const passphrase = rootOfPassphrase('documents passphrase')
  let seconds = Date.parse('2026-01-02T03:04:05Z') / 1000
  const deps: MakeDeps = {
    random: seededRandom('documents'),
    now: () => (seconds += 60) * 1000,
  }
  const add = async (
    title: string,
    roots: readonly Root[],
    bytes: Uint8Array,
    kind: DocumentKind = 'keyring',
  ): Promise<Keyring> => {
    const keyring = await Keyring.open(bytes, { roots: roots.map(({ key }) => key), kind })
    made.push({ vector: describe(title, { keyring, roots, bytes }), keyring })
    return keyring
  }
  const create = (root: Root, clusterId: string): Promise<{ bytes: Uint8Array }> =>
    createKeyring({ clusterId, roots: [root.key] }, deps)

  const fresh = await add('fresh', [file], (await create(file, 'prod-eu.1')).bytes)
  const first = fresh.active.id
  const staged = await add('staged', [file], stageKey(fresh, deps).document.bytes)
  const activated = await add('activated', [file], activateKey(staged, deps).document.bytes)
  const backup = await add(
    'backup',
    [passphrase],
    await sealBackup(activated, [passphrase.key], deps),
    'backup',
  )
  const retired = await add('retired', [file], retireKey(activated, first, deps).document.bytes)
  const destroyed = await add('destroyed', [file], destroyKey(retired, first, deps).document.bytes)
  const twoSlots = await add(
    'two slots',
    [file, passphrase],
    (await addRoots(destroyed, [passphrase.key], deps)).bytes,
  )
  await add(
    'under a new root',
    [otherFile],
    (await replaceRoots(twoSlots, [otherFile.key], deps)).bytes,
  )
  await add('restored', [otherFile], (await restoreBackup(backup, [otherFile.key], deps)).bytes)
  const separate = await add('separate', [otherFile], (await create(otherFile, 'x')).bytes)
  await add('adopted', [file], adoptKeyring(destroyed, separate, deps).document.bytes)
  await add('adopted from a backup', [file], adoptKeyring(destroyed, backup, deps).document.bytes)
  const future = {
    id: Buffer.from(deps.random(16)).toString('base64url'),
    type: 'future-type',
    createdAt: '2026-01-02T03:04:05Z',
    params: { uri: 'a "quoted" \\ text', slot: -1, empty: '', most: Number.MAX_SAFE_INTEGER },
    wrapped: deps.random(7),
  }
  const slots = [future, ...fresh.slots]
  await add(
    'with a slot of a type to come',
    [file],
    amendKeyring(fresh, { slots, createdAt: future.createdAt }).bytes,
  )
  return made
}

function describe(
  title: string,
  opened: {
    readonly keyring: Keyring
    readonly roots: readonly Root[]
    readonly bytes: Uint8Array
  },
): DocumentVector {
  const { keyring } = opened
  return {
    title,
    kind: keyring.kind,
    roots: opened.roots.map(({ vector }) => vector),
    document: text(opened.bytes),
    digest: keyring.digest,
    keyringKey: hex(keyring.keyringKey().expose()),
    keyringId: keyring.keyringId,
    clusterId: keyring.clusterId,
    generation: keyring.generation,
    keys: keyring.keys.map(({ id, clusterId, state }) => ({
      id,
      clusterId,
      state,
      material: state === 'destroyed' ? null : hex(keyring.live(id).material.expose()),
    })),
  }
}
