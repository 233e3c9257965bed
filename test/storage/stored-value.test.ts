import test from 'ava'
import fc from 'fast-check'
import { WireMessage } from '../../src/base/protobuf.ts'
import { sealEnvelopeV1, splitEnvelopeV1 } from '../../src/keyring/envelope.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { makeKeyId } from '../../src/keyring/key.ts'
import { readStoredValue } from '../../src/storage/stored-value.ts'
import { etcdVectors } from '../support/etcd-vectors.ts'

const random = createRandomPool()

test('what real API servers wrote is told apart without a key', async (t) => {
  const { objects, keyIds } = await etcdVectors()
  const [first, second] = keyIds
  const expected: Readonly<Record<string, object>> = {
    identity: { kind: 'identity', provider: 'identity' },
    secretbox: { kind: 'secretbox', provider: 'secretbox:v1:secretbox-key' },
    'aesgcm-16': { kind: 'aesgcm', provider: 'aesgcm:v1:gcm-16' },
    'aesgcm-32': { kind: 'aesgcm', provider: 'aesgcm:v1:gcm-32' },
    'aescbc-24': { kind: 'aescbc', provider: 'aescbc:v1:cbc-24' },
    'aescbc-32': { kind: 'aescbc', provider: 'aescbc:v1:cbc-32' },
    'kms-v1': { kind: 'kms-v1', provider: 'kms:v1:latchkey-v1', keyId: first },
    'kms-v2-key': { kind: 'kms-v2', provider: 'kms:v2:latchkey', keyId: first },
    'kms-v2-seed': { kind: 'kms-v2', provider: 'kms:v2:latchkey', keyId: first },
    'kms-v2-seed-rotated': { kind: 'kms-v2', provider: 'kms:v2:latchkey', keyId: second },
  }
  for (const { title, key, value } of objects) {
    const like = expected[title]
    if (like === undefined) return t.fail(title)
    t.like(readStoredValue(value), like, key)
  }
  const types = objects.flatMap(({ title, value }) => {
    const read = readStoredValue(value)
    return read.kind === 'kms-v2' ? [[title, read.object.dekSourceType].join()] : []
  })
  t.true(types.includes('kms-v2-key,aes-gcm'))
  t.true(types.includes('kms-v2-seed,hkdf-aes-gcm'))
})

test('the key id inside a KMS v1 ciphertext is the one that the keyring reads', (t) => {
  using material = SecretBytes.take(random(32))
  const id = makeKeyId(4_000_000_000, random)
  const key = {
    info: { id, clusterId: 'c', state: 'active', createdAt: '', changedAt: '' },
    material,
  } as const
  const ciphertext = sealEnvelopeV1(random(32), { key, random })
  const length = Buffer.alloc(2)
  length.writeUInt16BE(ciphertext.byteLength)
  const value = Buffer.concat([Buffer.from('k8s:enc:kms:v1:n:'), length, ciphertext, random(60)])
  t.like(readStoredValue(value), { kind: 'kms-v1', keyId: splitEnvelopeV1(ciphertext).keyId })
  // Another plugin's ciphertext has no key id that we know of.
  value[value.indexOf(0x01, 19)] = 2
  const foreign = readStoredValue(value)
  t.is(foreign.kind, 'kms-v1')
  t.false('keyId' in foreign)
})

const head = (text: string, rest: Uint8Array = new Uint8Array()): Buffer =>
  Buffer.concat([Buffer.from(text, 'latin1'), rest])
const object = (keyId: string): WireMessage =>
  new WireMessage().bytes(1, random(80)).text(2, keyId).bytes(3, random(73))

for (const [what, value, provider, reason] of [
  ['no provider', head('k8s:enc:'), 'unknown', 'unknown-provider'],
  ['no end', head('k8s:enc:kms:v2:latchkey'), 'unknown', 'unknown-provider'],
  ['no name', head('k8s:enc:kms:v2::x'), 'unknown', 'unknown-provider'],
  ['control characters', head('k8s:enc:kms:v2:\x1b[2J:x'), 'unknown', 'unknown-provider'],
  ['another version', head('k8s:enc:kms:v3:n:x'), 'kms:v3:n', 'unknown-provider'],
  ['no message', head('k8s:enc:kms:v2:n:', Buffer.of(0xff)), 'kms:v2:n', 'malformed'],
  ['an empty message', head('k8s:enc:kms:v2:n:'), 'kms:v2:n', 'malformed'],
  ['an empty key id', head('k8s:enc:kms:v2:n:', object('').encode()), 'kms:v2:n', 'malformed'],
  [
    'an unknown kind of seed',
    head('k8s:enc:kms:v2:n:', object('k').varint(5, 2).encode()),
    'kms:v2:n',
    'malformed',
  ],
  ['a short v1', head('k8s:enc:kms:v1:n:', Buffer.of(0, 5, 1)), 'kms:v1:n', 'malformed'],
  [
    'a short secretbox',
    head('k8s:enc:secretbox:v1:k:', Buffer.alloc(39)),
    'secretbox:v1:k',
    'malformed',
  ],
  ['nothing', head(''), 'identity', 'unrecognised'],
  ['something else', head('hello'), 'identity', 'unrecognised'],
] as const) {
  test(`a value with ${what} is undecodable: ${reason}`, (t) => {
    t.deepEqual(readStoredValue(value), { kind: 'undecodable', provider, reason })
  })
}

test('no bytes at all make it throw', async (t) => {
  const { objects } = await etcdVectors()
  const samples = objects.map(({ value }) => value)
  fc.assert(
    fc.property(fc.constantFrom(...samples), fc.nat(), fc.nat(255), (sample, at, byte) => {
      const edited = Buffer.from(sample)
      edited[at % edited.byteLength] = byte
      readStoredValue(edited)
      readStoredValue(edited.subarray(0, at % edited.byteLength))
    }),
    { numRuns: 300 },
  )
  t.pass()
})
