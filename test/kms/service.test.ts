import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { randomBytes } from 'node:crypto'
import { createRandomPool } from '../../src/base/random.ts'
import type { Keyring } from '../../src/keyring/keyring.ts'
import {
  decrypt,
  decryptV1,
  encrypt,
  encryptV1,
  judgeUnknownKey,
  status,
} from '../../src/kms/service.ts'
import type { Snapshot } from '../../src/kms/snapshot.ts'
import { fullKeyring, keyringLab } from '../support/kms-keyring.ts'

const random = createRandomPool()
const seed = randomBytes(32)

async function full(t: ExecutionContext): Promise<{ keyring: Keyring; snapshot: Snapshot }> {
  const keyring = await fullKeyring(t)
  return { keyring, snapshot: { keyring, unusable: new Set() } }
}

const keyIn = (keyring: Keyring, state: string): string =>
  keyring.keys.find((key) => key.state === state)?.id ?? ''

test('Status is ok with the active key’s id, whatever is degraded', async (t) => {
  const { keyring, snapshot } = await full(t)
  const keyId = keyIn(keyring, 'active')
  t.deepEqual(status(snapshot, []), { healthz: 'ok', keyId })
  t.deepEqual(status(snapshot, [{ name: 'x', severity: 'degraded', reason: 'an older key' }]), {
    healthz: 'ok',
    keyId,
  })
})

test('Status says what is failing and keeps the key id', async (t) => {
  const { keyring, snapshot } = await full(t)
  t.deepEqual(
    status(snapshot, [
      { name: 'x', severity: 'failing', reason: 'the active key failed' },
      { name: 'y', severity: 'degraded', reason: 'quiet' },
      { name: 'z', severity: 'failing', reason: 'so did the root' },
    ]),
    { healthz: 'the active key failed; so did the root', keyId: keyIn(keyring, 'active') },
  )
})

test('without a keyring nothing is answered', (t) => {
  const code = 'ERR_KEYRING_NOT_FOUND'
  t.throws(() => status(undefined, []), { code })
  t.throws(() => encrypt(undefined, seed, random), { code })
  t.throws(() => encryptV1(undefined, seed, random), { code })
  t.throws(() => decrypt(undefined, { ciphertext: seed, keyId: '', annotations: 1 }), { code })
  t.throws(() => decryptV1(undefined, seed), { code })
})

test('what is encrypted is decrypted, by its key id only', async (t) => {
  const { keyring, snapshot } = await full(t)
  const { ciphertext, keyId } = encrypt(snapshot, seed, random)
  t.is(keyId, keyIn(keyring, 'active'))
  const opened = decrypt(snapshot, { ciphertext, keyId, annotations: 0 })
  t.deepEqual(opened.plaintext.expose(), new Uint8Array(seed))
  t.is(opened.key.id, keyId)
  for (const { id, state } of keyring.keys) {
    if (id === keyId) continue
    t.throws(() => decrypt(snapshot, { ciphertext, keyId: id, annotations: 0 }), {
      code: state === 'destroyed' ? 'ERR_KEY_DESTROYED' : 'ERR_CIPHERTEXT_INVALID',
    })
  }
})

test('every live key decrypts what it encrypted when it was active', async (t) => {
  const lab = await keyringLab(t)
  const sealed: ReturnType<typeof encrypt>[] = []
  for (let n = 0; n < 3; n += 1) {
    using keyring = await lab.open()
    sealed.push(encrypt({ keyring, unusable: new Set() }, seed, random))
    await lab.rotate()
  }
  using keyring = await lab.open()
  for (const it of sealed) {
    const opened = decrypt({ keyring, unusable: new Set() }, { ...it, annotations: 0 })
    t.deepEqual(opened.plaintext.expose(), new Uint8Array(seed))
    t.is(opened.key.state, 'superseded')
  }
})

test('each wrong Decrypt has its own code', async (t) => {
  const { keyring, snapshot } = await full(t)
  const { ciphertext, keyId } = encrypt(snapshot, seed, random)
  const other = Uint8Array.from(ciphertext)
  other[0] = 2
  const cases = [
    ['ERR_ANNOTATION_UNKNOWN', { ciphertext, keyId, annotations: 1 }],
    ['ERR_ANNOTATION_UNKNOWN', { ciphertext, keyId: 'lk1.x', annotations: 1 }],
    ['ERR_KEY_UNKNOWN', { ciphertext, keyId: '', annotations: 0 }],
    ['ERR_KEY_UNKNOWN', { ciphertext, keyId: 'k'.repeat(2000), annotations: 0 }],
    ['ERR_KEY_DESTROYED', { ciphertext, keyId: keyIn(keyring, 'destroyed'), annotations: 0 }],
    ['ERR_CIPHERTEXT_VERSION', { ciphertext: other, keyId, annotations: 0 }],
    ['ERR_CIPHERTEXT_INVALID', { ciphertext: new Uint8Array(0), keyId, annotations: 0 }],
    ['ERR_CIPHERTEXT_INVALID', { ciphertext: ciphertext.subarray(1), keyId, annotations: 0 }],
  ] as const
  for (const [code, request] of cases.slice(0, -1)) {
    t.throws(() => decrypt(snapshot, request), { code })
  }
  t.notThrows(() => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (garbage) => {
        try {
          decrypt(snapshot, { ciphertext: garbage, keyId, annotations: 0 })
          return false
        } catch (error) {
          const { code = '' } = error as { code?: string }
          return ['ERR_CIPHERTEXT_INVALID', 'ERR_CIPHERTEXT_VERSION'].includes(code)
        }
      }),
    )
  })
})

test('a key that failed its self-test does not encrypt, and still tries to decrypt', async (t) => {
  const { keyring, snapshot } = await full(t)
  const { ciphertext, keyId } = encrypt(snapshot, seed, random)
  const failing = { keyring, unusable: new Set([keyId]) }
  t.throws(() => encrypt(failing, seed, random), { code: 'ERR_KEY_UNUSABLE' })
  t.throws(() => encryptV1(failing, seed, random), { code: 'ERR_KEY_UNUSABLE' })
  t.notThrows(() => decrypt(failing, { ciphertext, keyId, annotations: 0 }))
})

test('what would not open again is never handed out', async (t) => {
  const { keyring } = await full(t)
  const [sound, other] = [keyring.live(keyring.active.id), keyring.live(keyIn(keyring, 'staged'))]
  let uses = 0
  // A fault of this machine: after its first use the key is another one.
  const faulty = {
    info: sound.info,
    get material() {
      uses += 1
      return uses === 1 ? sound.material : other.material
    },
  }
  const snapshot = {
    keyring: { active: keyring.active, live: () => faulty } as unknown as Keyring,
    unusable: new Set<string>(),
  }
  t.throws(() => encrypt(snapshot, seed, random), { code: 'ERR_KEY_UNUSABLE' })
  t.is(uses, 2)
  uses = 0
  t.throws(() => encryptV1(snapshot, seed, random), { code: 'ERR_KEY_UNUSABLE' })
})

test('sizes of plaintexts are bounded', async (t) => {
  const { snapshot } = await full(t)
  for (const size of [0, 984, 4096]) {
    t.throws(() => encrypt(snapshot, new Uint8Array(size), random), { code: 'ERR_PLAINTEXT_SIZE' })
  }
  t.true(encrypt(snapshot, new Uint8Array(983), random).ciphertext.byteLength <= 1024)
  for (const size of [0, 4097]) {
    t.throws(() => encryptV1(snapshot, new Uint8Array(size), random), {
      code: 'ERR_PLAINTEXT_SIZE',
    })
  }
})

test('v1beta1 finds the key inside the ciphertext', async (t) => {
  const { keyring, snapshot } = await full(t)
  const ciphertext = encryptV1(snapshot, seed, random)
  const opened = decryptV1(snapshot, ciphertext)
  t.deepEqual(opened.plaintext.expose(), new Uint8Array(seed))
  t.is(opened.key.id, keyIn(keyring, 'active'))
  const lab = await keyringLab(t)
  using stranger = await lab.open()
  t.throws(() => decryptV1({ keyring: stranger, unusable: new Set() }, ciphertext), {
    code: 'ERR_KEY_UNKNOWN',
  })
  t.throws(() => decryptV1(snapshot, ciphertext.subarray(0, -1)), {
    code: 'ERR_CIPHERTEXT_INVALID',
  })
  t.throws(() => decryptV1(snapshot, new Uint8Array(0)), { code: 'ERR_CIPHERTEXT_INVALID' })
})

test('v1beta1 and v2 ciphertexts are not taken for each other', async (t) => {
  const { snapshot } = await full(t)
  const { ciphertext, keyId } = encrypt(snapshot, seed, random)
  t.throws(() => decryptV1(snapshot, ciphertext), { code: 'ERR_CIPHERTEXT_INVALID' })
  const v1 = encryptV1(snapshot, seed, random)
  t.throws(() => decrypt(snapshot, { ciphertext: v1, keyId, annotations: 0 }), {
    code: 'ERR_CIPHERTEXT_INVALID',
  })
})

test('an unknown key id tells where it came from', (t) => {
  const keyring = { generation: 5 }
  const tail = 'A'.repeat(21) + 'A'
  t.is(judgeUnknownKey('', keyring), 'foreign-form')
  t.is(judgeUnknownKey('1', keyring), 'foreign-form')
  t.is(judgeUnknownKey('lk1.5', keyring), 'foreign-form')
  t.is(judgeUnknownKey(`lk1.5.${tail}`, keyring), 'another-keyring')
  t.is(judgeUnknownKey(`lk1.1.${tail}`, keyring), 'another-keyring')
  t.is(judgeUnknownKey(`lk1.6.${tail}`, keyring), 'newer-generation')
})
