import test from 'ava'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openFrame, sealFrame } from '../../src/base/frame.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { parseDocument } from '../../src/keyring/document.ts'
import {
  openEnvelope,
  openEnvelopeV1,
  sealEnvelope,
  sealEnvelopeV1,
  splitEnvelopeV1,
} from '../../src/keyring/envelope.ts'
import { keyStates, type LiveKey } from '../../src/keyring/key.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import type { RootKey, SlotParams } from '../../src/keyring/root.ts'
import { fileRoot } from '../../src/keyring/roots/file.ts'
import { passphraseRoot } from '../../src/keyring/roots/passphrase.ts'
import { sealDocument, wrapKek } from '../../src/keyring/seal.ts'
import { encodeHighWater, parseHighWater } from '../../src/keyring/stores/high-water.ts'
import * as reader from '../support/format-reader.ts'
import { makeVectors, printVectors } from '../support/keyring-vectors/make.ts'
import type { DocumentVector, RefusalVector, RootVector } from '../support/keyring-vectors/shape.ts'
import { scriptedRandom } from '../support/seeded-random.ts'

const directory = join(import.meta.dirname, '../vectors/keyring')

/** The vectors in a file. A file that is missing or empty fails the test that needs it. */
async function vectors<T>(name: string): Promise<readonly [T, ...T[]]> {
  const list = JSON.parse(await readFile(join(directory, name), 'utf8')) as T[]
  const [first, ...rest] = list
  if (first === undefined) throw new Error(`${name} holds no vectors`)
  return [first, ...rest]
}

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const secret = (text: string): SecretBytes => SecretBytes.copyOf(bytes(text))
/** A frame's nonce, from which the same frame can be made again. */
const nonceOf = (frame: Uint8Array): Uint8Array => frame.slice(1, 25)

function rootOf(vector: RootVector, ...random: readonly Uint8Array[]): RootKey {
  const deps = { random: scriptedRandom(...random) }
  return vector.type === 'file'
    ? fileRoot(secret(vector.bytes), deps)
    : passphraseRoot(secret(vector.bytes), deps)
}

test('making the vectors anew gives the stored ones', async (t) => {
  const made = await makeVectors()
  t.deepEqual((await readdir(directory)).sort(), Object.keys(made).sort())
  for (const [name, value] of Object.entries(made)) {
    t.is(await readFile(join(directory, name), 'utf8'), printVectors(value), name)
  }
})

test('frames open and are made again, here and by the second implementation', async (t) => {
  interface FrameVector {
    readonly title: string
    readonly key: string
    readonly associatedData: string
    readonly nonce: string
    readonly plaintext: string
    readonly frame: string
  }
  for (const vector of await vectors<FrameVector>('frames.json')) {
    const [key, associatedData] = [secret(vector.key), bytes(vector.associatedData)]
    const [plaintext, nonce] = [bytes(vector.plaintext), bytes(vector.nonce)]
    t.is(hex(openFrame(bytes(vector.frame), { key, associatedData }).expose()), vector.plaintext)
    const random = scriptedRandom(nonce)
    t.is(hex(sealFrame(plaintext, { key, associatedData, random })), vector.frame)
    t.is(
      hex(reader.openFrame(key.expose(), associatedData, bytes(vector.frame))),
      vector.plaintext,
      vector.title,
    )
    t.is(hex(reader.sealFrame(key.expose(), associatedData, { nonce, plaintext })), vector.frame)
  }
})

test('envelopes open and are made again, here and by the second implementation', async (t) => {
  interface EnvelopeVector {
    readonly title: string
    readonly version: 'v2' | 'v1beta1'
    readonly keyId: string
    readonly clusterId: string
    readonly material: string
    readonly nonce: string
    readonly plaintext: string
    readonly ciphertext: string
  }
  const versions = new Set<string>()
  for (const vector of await vectors<EnvelopeVector>('envelopes.json')) {
    versions.add(vector.version)
    const time = '2026-01-02T03:04:05Z'
    const { keyId, clusterId } = vector
    const key: LiveKey = {
      info: { id: keyId, clusterId, state: 'active', createdAt: time, changedAt: time },
      material: secret(vector.material),
    }
    const [ciphertext, random] = [bytes(vector.ciphertext), scriptedRandom(bytes(vector.nonce))]
    if (vector.version === 'v2') {
      t.is(hex(openEnvelope(ciphertext, { key }).expose()), vector.plaintext, vector.title)
      t.is(hex(sealEnvelope(bytes(vector.plaintext), { key, random })), vector.ciphertext)
      t.is(hex(reader.openV2(key.material.expose(), vector, ciphertext)), vector.plaintext)
    } else {
      t.is(splitEnvelopeV1(ciphertext).keyId, keyId)
      t.is(hex(openEnvelopeV1(ciphertext, { key: () => key }).expose()), vector.plaintext)
      t.is(hex(sealEnvelopeV1(bytes(vector.plaintext), { key, random })), vector.ciphertext)
      const read = reader.openV1(key.material.expose(), clusterId, ciphertext)
      t.deepEqual([read.keyId, hex(read.plaintext)], [keyId, vector.plaintext], vector.title)
    }
  }
  t.deepEqual([...versions].sort(), ['v1beta1', 'v2'])
})

test('slots open and are made again, here and by the second implementation', async (t) => {
  interface SlotVector {
    readonly title: string
    readonly root: RootVector
    readonly context: string
    readonly secret: string
    readonly params: SlotParams
    readonly wrapped: string
  }
  for (const vector of await vectors<SlotVector>('slots.json')) {
    const context = Buffer.from(vector.context)
    const wrapped = bytes(vector.wrapped)
    const salt = Buffer.from(String(vector.params['salt']), 'base64url')
    const opened = await rootOf(vector.root).unwrap({ params: vector.params, wrapped }, context)
    t.is(opened && hex(opened.expose()), vector.secret, vector.title)
    if (!vector.title.includes('cheap')) {
      const root = rootOf(vector.root, salt, nonceOf(wrapped))
      const again = await root.wrap(secret(vector.secret), context)
      t.deepEqual([again.params, hex(again.wrapped)], [vector.params, vector.wrapped])
    }
    const key = reader.slotKey({ ...vector.root, bytes: bytes(vector.root.bytes) }, vector.params)
    t.is(hex(reader.openFrame(key, context, wrapped)), vector.secret, vector.title)
  }
})

test('documents open with each of their roots, and every byte is made again', async (t) => {
  const states = new Set<string>()
  for (const vector of await vectors<DocumentVector>('documents.json')) {
    const document = Buffer.from(vector.document, 'latin1')
    for (const root of vector.roots) {
      const { kind } = vector
      const keyring = await Keyring.open(document, { roots: [rootOf(root)], kind })
      const { body } = parseDocument(document, kind)
      t.is(keyring.digest, vector.digest)
      t.is(hex(keyring.keyringKey().expose()), vector.keyringKey)
      t.deepEqual(
        [keyring.keyringId, keyring.clusterId, keyring.generation],
        [vector.keyringId, vector.clusterId, vector.generation],
      )
      for (const key of keyring.keys) {
        states.add(key.state)
        const given = vector.keys.find(({ id }) => id === key.id)
        t.like(given, { clusterId: key.clusterId, state: key.state }, vector.title)
        if (key.wrapped === undefined) continue
        const { info, material } = keyring.live(key.id)
        t.is(given?.material, hex(material.expose()), vector.title)
        const random = scriptedRandom(nonceOf(key.wrapped))
        const again = wrapKek(material, { info, body, key: keyring.keyringKey(), random })
        t.deepEqual(again, key.wrapped, vector.title)
      }
      const again = sealDocument(body, { kind, key: keyring.keyringKey() })
      t.is(Buffer.from(again).toString('latin1'), vector.document, vector.title)
    }
  }
  t.deepEqual([...states].sort(), [...keyStates].sort(), 'every state occurs')
})

test('documents open by the second implementation, which follows FORMAT.md alone', async (t) => {
  for (const vector of await vectors<DocumentVector>('documents.json')) {
    const document = Buffer.from(vector.document, 'latin1')
    for (const root of vector.roots) {
      const read = reader.openDocument(document, { ...root, bytes: bytes(root.bytes) })
      t.deepEqual(
        {
          kind: read.kind,
          digest: read.digest,
          keyringKey: hex(read.keyringKey),
          keyringId: read.body.keyringId,
          clusterId: read.body.clusterId,
          generation: read.body.generation,
          keys: read.body.keys.map(({ id, clusterId, state }) => {
            const material = read.materials.get(id)
            return { id, clusterId, state, material: material ? hex(material) : null }
          }),
        },
        {
          kind: vector.kind,
          digest: vector.digest,
          keyringKey: vector.keyringKey,
          keyringId: vector.keyringId,
          clusterId: vector.clusterId,
          generation: vector.generation,
          keys: [...vector.keys],
        },
        vector.title,
      )
    }
  }
})

test('what FORMAT.md refuses is refused, each with its code', async (t) => {
  const codes = new Set<string>()
  for (const vector of await vectors<RefusalVector>('refusals.json')) {
    codes.add(vector.code)
    const document = Buffer.from(vector.document, 'latin1')
    const [root = { type: 'file', bytes: '' }] = vector.roots
    await t.throwsAsync(
      Keyring.open(document, { roots: [rootOf(root)], kind: vector.kind }),
      { code: vector.code },
      vector.title,
    )
  }
  t.deepEqual([...codes].sort(), [
    'ERR_KEYRING_EDITED',
    'ERR_KEYRING_FOREIGN',
    'ERR_KEYRING_NEWER_FORMAT',
    'ERR_KEYRING_TORN',
    'ERR_ROOT_INVALID',
    'ERR_ROOT_WRONG',
  ])
})

test('high-water files say of a document what FORMAT.md says', async (t) => {
  interface HighWaterVector {
    readonly title: string
    readonly document: string
    readonly highWater: string
  }
  for (const vector of await vectors<HighWaterVector>('high-water.json')) {
    const file = Buffer.from(vector.highWater, 'latin1')
    const mark = parseHighWater(file, 'high-water')
    t.deepEqual(Buffer.from(encodeHighWater(mark)), file, vector.title)
    const { body, digest } = reader.readDocument(Buffer.from(vector.document, 'latin1'))
    const { keyringId, generation, ancestors } = body
    t.deepEqual(mark, { keyringId, generation, digest, ancestors: [...ancestors] }, vector.title)
  }
})
