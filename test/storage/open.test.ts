import test from 'ava'
import { parse } from 'yaml'
import { isLatchkeyError, LatchkeyError } from '../../src/base/errors.ts'
import { openEnvelope, openEnvelopeV1 } from '../../src/keyring/envelope.ts'
import { parseEncryptionConfig } from '../../src/storage/encryption-config.ts'
import { storedValueOpener, type Unwrapper } from '../../src/storage/open.ts'
import { readStoredValue } from '../../src/storage/stored-value.ts'
import { etcdVectors, openVectorBackup, type StoredVector } from '../support/etcd-vectors.ts'

const vectors = await etcdVectors()
const keyring = await openVectorBackup()
const config = parseEncryptionConfig(parse(vectors.encryptionConfig))
const kms: Unwrapper = {
  v2: ({ keyId, encryptedDekSource }) =>
    openEnvelope(encryptedDekSource, { key: keyring.live(keyId) }),
  v1: (ciphertext) => openEnvelopeV1(ciphertext, { key: (id) => keyring.live(id) }),
}

for (const vector of vectors.objects) {
  test(`${vector.key.slice(26)} opens to the bytes that were stored`, (t) => {
    using opener = storedValueOpener({ kms, local: config.keys })
    using plaintext = opener.open(vector.key, readStoredValue(vector.value))
    t.deepEqual(Buffer.from(plaintext.expose()), vector.plaintext)
  })
}

/** Bound to its etcd key by authenticated data. */
const bound = vectors.objects.filter(({ title }) => /^(?:aesgcm|kms)/.test(title))
/** What has a tag at all. */
const authentic = vectors.objects.filter(({ title }) => !/^(?:aescbc|identity)/.test(title))

test('a value moved to another key does not open, where the provider binds it', (t) => {
  t.true(bound.length > 0)
  using opener = storedValueOpener({ kms, local: config.keys })
  for (const { key, value } of bound) {
    t.throws(() => opener.open(`${key}x`, readStoredValue(value)), {
      code: 'ERR_CIPHERTEXT_INVALID',
    })
  }
})

test('with any byte flipped an authentic value does not open, or opens to the same', (t) => {
  const small = authentic.filter(({ key }) => key.endsWith('-empty'))
  t.true(small.length > 5)
  using opener = storedValueOpener({ kms, local: config.keys })
  for (const vector of small) {
    for (let at = 0; at < vector.value.byteLength; at += 1) {
      const edited = Buffer.from(vector.value)
      edited[at] = (edited[at] ?? 0) ^ 0x20
      t.true(refusedOrSame(opener, vector, edited), `${vector.title} byte ${at}`)
    }
  }
})

function refusedOrSame(
  opener: ReturnType<typeof storedValueOpener>,
  vector: StoredVector,
  edited: Buffer,
): boolean {
  try {
    using plaintext = opener.open(vector.key, readStoredValue(edited))
    return vector.plaintext.equals(plaintext.expose())
  } catch (error) {
    return isLatchkeyError(error)
  }
}

test('AES-CBC has no tag: what comes out must look like an object', (t) => {
  using opener = storedValueOpener({ local: config.keys })
  const vector = vectors.objects.find(({ title }) => title === 'aescbc-32')
  if (vector === undefined) return t.fail()
  const edited = Buffer.from(vector.value)
  // The initialisation vector, which turns the first bytes into others.
  const at = edited.indexOf(':', 18) + 1
  edited[at] = (edited[at] ?? 0) ^ 1
  t.throws(() => opener.open(vector.key, readStoredValue(edited)), {
    code: 'ERR_CIPHERTEXT_INVALID',
  })
})

test('every failure of a cipher is the same error without a cause', (t) => {
  using opener = storedValueOpener({ kms, local: config.keys })
  const errors = bound.map(({ value }) =>
    t.throws(() => opener.open('/elsewhere', readStoredValue(value)), {
      instanceOf: LatchkeyError,
    }),
  )
  t.deepEqual([...new Set(errors.map((error) => error.message))].length, 1)
  t.true(errors.every((error) => error.cause === undefined))
})

test('without the key it says that it is missing', (t) => {
  using opener = storedValueOpener({})
  for (const { key, value, title } of vectors.objects) {
    if (title === 'identity') continue
    t.throws(() => opener.open(key, readStoredValue(value)), { code: 'ERR_STORED_KEY_MISSING' })
  }
  t.throws(() => opener.open('/k', readStoredValue(Buffer.from('odd'))), {
    code: 'ERR_STORED_MALFORMED',
  })
})

test('a seed is unwrapped once for all objects that share it', (t) => {
  let calls = 0
  using opener = storedValueOpener({
    kms: {
      ...kms,
      v2: (source) => {
        calls += 1
        return kms.v2(source)
      },
    },
  })
  const seeded = vectors.objects.filter(({ title }) => title === 'kms-v2-seed')
  t.is(seeded.length, 3)
  for (const { key, value } of seeded) opener.open(key, readStoredValue(value))[Symbol.dispose]()
  t.is(calls, 1)
})
