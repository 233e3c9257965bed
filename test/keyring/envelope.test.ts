import test from 'ava'
import fc from 'fast-check'
import { lengthPrefixed } from '../../src/base/bytes.ts'
import { frameOverhead, sealFrame } from '../../src/base/frame.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { isLatchkeyError, LatchkeyError } from '../../src/base/errors.ts'
import {
  maxPlaintextBytes,
  maxPlaintextV1Bytes,
  openEnvelope,
  openEnvelopeV1,
  sealEnvelope,
  sealEnvelopeV1,
  splitEnvelopeV1,
} from '../../src/keyring/envelope.ts'
import { makeKeyId, type LiveKey } from '../../src/keyring/key.ts'
import { deps } from '../support/keyrings.ts'

const { random } = deps
const time = '2026-01-02T03:04:05Z'

function newKey(clusterId = 'prod'): LiveKey {
  return {
    info: {
      id: makeKeyId(1, random),
      clusterId,
      state: 'active',
      createdAt: time,
      changedAt: time,
    },
    material: SecretBytes.take(random(32)),
  }
}

const key = newKey()
/** The same material under another name or in another cluster. */
const renamed = (change: Partial<LiveKey['info']>): LiveKey => ({
  info: { ...key.info, ...change },
  material: key.material,
})

/** The code with which `run` fails, or `accepted`. */
function refusal(run: () => unknown): string {
  try {
    run()
    return 'accepted'
  } catch (error) {
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}

const versions = {
  'KMS v2': {
    max: maxPlaintextBytes,
    overhead: frameOverhead,
    seal: (plaintext: Uint8Array, with_: LiveKey) =>
      sealEnvelope(plaintext, { key: with_, random }),
    open: (ciphertext: Uint8Array, with_: LiveKey) => openEnvelope(ciphertext, { key: with_ }),
  },
  'KMS v1beta1': {
    max: maxPlaintextV1Bytes,
    overhead: 2 + key.info.id.length + frameOverhead,
    seal: (plaintext: Uint8Array, with_: LiveKey) =>
      sealEnvelopeV1(plaintext, { key: with_, random }),
    open: (ciphertext: Uint8Array, with_: LiveKey) =>
      openEnvelopeV1(ciphertext, {
        key: (keyId) => {
          if (keyId === with_.info.id) return with_
          throw new LatchkeyError('ERR_KEY_UNKNOWN', 'unknown')
        },
      }),
  },
} as const

for (const [title, { max, overhead, seal, open }] of Object.entries(versions)) {
  test(`${title}: what was sealed opens, at the promised length`, (t) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (plaintext) => {
        const ciphertext = seal(plaintext, key)
        t.is(ciphertext.byteLength, plaintext.byteLength + overhead)
        t.deepEqual(open(ciphertext, key).expose(), plaintext)
      }),
    )
  })

  test(`${title}: sizes from 1 byte to the limit are taken, others are not`, (t) => {
    for (const size of [1, 2, 31, 32, 33, max - 1, max]) {
      const plaintext = random(size)
      t.deepEqual(open(seal(plaintext, key), key).expose(), plaintext)
    }
    for (const size of [0, max + 1, 1 << 20]) {
      t.throws(() => seal(new Uint8Array(size), key), { code: 'ERR_PLAINTEXT_SIZE' })
    }
  })

  test(`${title}: a ciphertext above the limit is refused`, (t) => {
    for (const size of [max + overhead + 1, 1 << 20]) {
      const ciphertext = new Uint8Array(size)
      ciphertext.set(seal(random(32), key))
      t.throws(() => open(ciphertext, key), { code: 'ERR_CIPHERTEXT_INVALID' })
    }
  })

  test(`${title}: every flipped bit and every cut is refused`, (t) => {
    const ciphertext = seal(random(32), key)
    const frame = title === 'KMS v2' ? 0 : 2 + key.info.id.length
    for (let bit = 0; bit < ciphertext.byteLength * 8; bit += 1) {
      const byte = bit >> 3
      const flipped = Uint8Array.from(ciphertext)
      flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (bit & 7))
      const code = refusal(() => open(flipped, key))
      const codes =
        byte === 0 || byte === frame
          ? ['ERR_CIPHERTEXT_VERSION']
          : byte > 1 && byte < frame
            ? ['ERR_CIPHERTEXT_INVALID', 'ERR_KEY_UNKNOWN']
            : ['ERR_CIPHERTEXT_INVALID']
      t.true(codes.includes(code), `bit ${bit}: ${code}`)
    }
    for (let length = 0; length < ciphertext.byteLength; length += 1) {
      t.throws(() => open(ciphertext.subarray(0, length), key), { code: 'ERR_CIPHERTEXT_INVALID' })
    }
    t.throws(() => open(Uint8Array.of(...ciphertext, 0), key), { code: 'ERR_CIPHERTEXT_INVALID' })
  })

  test(`${title}: another key, key id or cluster is refused, all alike`, (t) => {
    const ciphertext = seal(random(32), key)
    const others = [
      { ...newKey(), info: key.info },
      renamed({ clusterId: 'prod2' }),
      ...(title === 'KMS v2' ? [renamed({ id: newKey().info.id })] : []),
    ]
    const messages = others.map((other) => {
      const error = t.throws(() => open(ciphertext, other), { code: 'ERR_CIPHERTEXT_INVALID' })
      t.false('cause' in error)
      return error.message
    })
    t.is(new Set(messages).size, 1)
  })

  test(`${title}: the state of a key, and when it changed, is not part of its ciphertexts`, (t) => {
    const ciphertext = seal(Uint8Array.of(7), key)
    const later = renamed({ state: 'retired', changedAt: '2027-01-01T00:00:00Z' })
    t.deepEqual(open(ciphertext, later).expose(), Uint8Array.of(7))
  })

  test(`${title}: a wiped key is a mistake of ours, not a bad ciphertext`, (t) => {
    const gone = newKey()
    const ciphertext = seal(Uint8Array.of(7), gone)
    gone.material[Symbol.dispose]()
    t.throws(() => open(ciphertext, gone), { instanceOf: TypeError })
    t.throws(() => seal(Uint8Array.of(7), gone), { instanceOf: TypeError })
  })
}

test('a ciphertext of one version of KMS does not open as one of the other', (t) => {
  const v1 = sealEnvelopeV1(random(32), { key, random })
  const v2 = sealEnvelope(random(32), { key, random })
  const { frame } = splitEnvelopeV1(v1)
  t.throws(() => openEnvelope(frame, { key }), { code: 'ERR_CIPHERTEXT_INVALID' })
  const wrapped = Uint8Array.of(...v1.subarray(0, v1.byteLength - frame.byteLength), ...v2)
  t.throws(() => openEnvelopeV1(wrapped, { key: () => key }), { code: 'ERR_CIPHERTEXT_INVALID' })
})

test('KMS v1beta1: the key id travels inside, and what the lookup says passes through', (t) => {
  const ciphertext = sealEnvelopeV1(random(32), { key, random })
  t.is(splitEnvelopeV1(ciphertext).keyId, key.info.id)
  const asked: string[] = []
  t.throws(
    () =>
      openEnvelopeV1(ciphertext, {
        key: (keyId) => {
          asked.push(keyId)
          throw new LatchkeyError('ERR_KEY_DESTROYED', 'gone')
        },
      }),
    { code: 'ERR_KEY_DESTROYED' },
  )
  t.deepEqual(asked, [key.info.id])
})

test('KMS v1beta1: whatever has no key id of ours is refused before any lookup', (t) => {
  const lookup = (): LiveKey => {
    throw new Error('looked up')
  }
  const withId = (id: string, length = id.length): Uint8Array =>
    Uint8Array.of(1, length, ...Buffer.from(id, 'latin1'), ...random(73))
  for (const ciphertext of [
    new Uint8Array(0),
    Uint8Array.of(1),
    Uint8Array.of(1, 0),
    Uint8Array.of(1, 255),
    withId(''),
    withId('k8s'),
    withId(`${key.info.id}A`),
    withId(key.info.id, key.info.id.length - 1),
    withId(key.info.id, 255),
    withId(
      'lk1.1.\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
    ),
  ]) {
    t.throws(() => openEnvelopeV1(ciphertext, { key: lookup }), { code: 'ERR_CIPHERTEXT_INVALID' })
  }
  t.throws(() => openEnvelopeV1(Uint8Array.of(2, 0), { key: lookup }), {
    code: 'ERR_CIPHERTEXT_VERSION',
  })
})

test('random bytes are refused with one of two codes, whatever they are', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      for (const { open } of Object.values(versions)) {
        const code = refusal(() => open(bytes, key))
        t.true(['ERR_CIPHERTEXT_INVALID', 'ERR_CIPHERTEXT_VERSION'].includes(code))
      }
    }),
  )
})

test('a frame that is ours in all but its length is refused', (t) => {
  const { id, clusterId } = key.info
  const seal = (purpose: string, size: number): Uint8Array =>
    sealFrame(new Uint8Array(size), {
      key: key.material,
      associatedData: lengthPrefixed([purpose, '1', clusterId, id]),
      random,
    })
  const long = seal('latchkey/envelope', maxPlaintextBytes + 1)
  t.throws(() => openEnvelope(long, { key }), { code: 'ERR_CIPHERTEXT_INVALID' })
  const head = Uint8Array.of(1, id.length, ...Buffer.from(id))
  const longV1 = Uint8Array.of(...head, ...seal('latchkey/envelope-v1beta1', 4097))
  t.throws(() => openEnvelopeV1(longV1, { key: () => key }), { code: 'ERR_CIPHERTEXT_INVALID' })
  const fits = Uint8Array.of(...head, ...seal('latchkey/envelope-v1beta1', 4096))
  t.is(openEnvelopeV1(fits, { key: () => key }).byteLength, 4096)
})

test('a KMS v2 ciphertext is never longer than the API server accepts', (t) => {
  t.is(sealEnvelope(new Uint8Array(maxPlaintextBytes), { key, random }).byteLength, 1024)
})
