import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { SecretBytes } from '../../src/base/secret.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { passphraseRoot } from '../../src/keyring/roots/passphrase.ts'

const directory = join(import.meta.dirname, '..', 'vectors', 'etcd')

/** One stored value, and what the API server had given to be stored. */
export interface StoredVector {
  /** How it was stored: `identity`, `aesgcm-16`, `kms-v2-seed`, … */
  readonly title: string
  /** The etcd key. */
  readonly key: string
  readonly value: Buffer
  readonly plaintext: Buffer
}

/** What real API servers wrote, and what opens it (made by test/e2e/etcd/write-vectors.ts). */
export interface EtcdVectors {
  readonly objects: readonly [StoredVector, ...StoredVector[]]
  /** The keyring's first and second key. */
  readonly keyIds: readonly [string, string]
  readonly backup: Buffer
  readonly passphrase: string
  readonly encryptionConfig: string
}

/** The vectors. Throws when there are none. */
export async function etcdVectors(): Promise<EtcdVectors> {
  const text = await readFile(join(directory, 'objects.json'), 'utf8')
  const read = JSON.parse(text) as Omit<EtcdVectors, 'objects' | 'backup'> & {
    readonly backup: string
    readonly objects: readonly { title: string; key: string; value: string; plaintext: string }[]
  }
  const [first, ...rest] = read.objects.map(({ title, key, value, plaintext }) => ({
    title,
    key,
    value: Buffer.from(value, 'base64'),
    plaintext: Buffer.from(plaintext, 'base64'),
  }))
  if (first === undefined) throw new Error('objects.json holds no vectors')
  return { ...read, objects: [first, ...rest], backup: Buffer.from(read.backup, 'base64') }
}

/** The vectors' backup, opened: once a file, as its passphrase takes its time by design. */
export async function openVectorBackup(): Promise<Keyring> {
  const { backup, passphrase } = await etcdVectors()
  const root = passphraseRoot(SecretBytes.copyOf(Buffer.from(passphrase)), {
    random: (length) => randomBytes(length),
  })
  return await Keyring.open(backup, { roots: [root], kind: 'backup' })
}

/** A record as a real etcd served it. */
export interface RecordVector {
  readonly key: string
  readonly modRevision: number
  readonly sha256: string
  readonly state: 'current' | 'superseded'
}

/** A real snapshot, and what etcd itself said was in it. */
export async function snapshotVector(): Promise<{
  readonly file: Buffer
  readonly revision: number
  readonly compactedRevision: number
  readonly records: readonly RecordVector[]
}> {
  const said = JSON.parse(await readFile(join(directory, 'snapshot.json'), 'utf8')) as {
    revision: number
    compactedRevision: number
    records: readonly RecordVector[]
  }
  if (said.records.length === 0) throw new Error('snapshot.json holds no records')
  return { ...said, file: gunzipSync(await readFile(join(directory, 'snapshot.db.gz'))) }
}
