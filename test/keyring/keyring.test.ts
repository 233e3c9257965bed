import test from 'ava'
import { inspect } from 'node:util'
import { LatchkeyError, type ErrorCode } from '../../src/base/errors.ts'
import { addRoots } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import { deps, newKeyring, newRoot, reopen } from '../support/keyrings.ts'

/** A root of type `type` that fails to unwrap with `code`, and says how often it was asked. */
function failingRoot(type: string, code: ErrorCode): RootKey & { asked: number } {
  const root = {
    ...newRoot(),
    type,
    asked: 0,
    unwrap: async () => {
      root.asked += 1
      throw new LatchkeyError(code, 'simulated')
    },
  }
  return root
}

test('the first slot that opens is enough, whatever the others say', async (t) => {
  const { keyring, root } = await newKeyring()
  const other = newRoot()
  const two = await addRoots(keyring, [other], deps)
  for (const code of ['ERR_ROOT_UNAVAILABLE', 'ERR_ROOT_INVALID'] as const) {
    const failing = failingRoot('file', code)
    for (const roots of [
      [failing, root],
      [failing, other],
      [newRoot(), failing, other],
    ]) {
      t.is((await Keyring.open(two.bytes, { roots })).generation, 2)
    }
    t.is(failing.asked, 6, 'it was asked for each of two slots')
  }
})

test('when none opens, a root that could not be asked is the reason before a wrong one', async (t) => {
  const { bytes } = await newKeyring()
  const open = (...roots: RootKey[]): Promise<Keyring> => Keyring.open(bytes, { roots })
  const unavailable = failingRoot('file', 'ERR_ROOT_UNAVAILABLE')
  const invalid = failingRoot('file', 'ERR_ROOT_INVALID')
  await t.throwsAsync(open(newRoot(), invalid, unavailable), { code: 'ERR_ROOT_UNAVAILABLE' })
  await t.throwsAsync(open(newRoot(), invalid), { code: 'ERR_ROOT_INVALID' })
  await t.throwsAsync(open(newRoot()), { code: 'ERR_ROOT_WRONG' })
  await t.throwsAsync(open(), { code: 'ERR_ROOT_WRONG' })
  const defect = { ...newRoot(), unwrap: () => Promise.reject(new TypeError('a defect')) }
  await t.throwsAsync(open(defect), { instanceOf: TypeError })
})

test('a root is asked only for slots of its type', async (t) => {
  const { bytes } = await newKeyring()
  const other = failingRoot('passphrase', 'ERR_ROOT_UNAVAILABLE')
  await t.throwsAsync(Keyring.open(bytes, { roots: [other] }), { code: 'ERR_ROOT_WRONG' })
  t.is(other.asked, 0)
})

test('disposing wipes every key', async (t) => {
  const { keyring, bytes, root } = await newKeyring()
  const material = keyring.live(keyring.active.id).material.expose()
  const key = keyring.keyringKey().expose()
  keyring[Symbol.dispose]()
  t.true(material.every((byte) => byte === 0))
  t.true(key.every((byte) => byte === 0))
  t.throws(() => keyring.live(keyring.active.id).material.expose(), { instanceOf: TypeError })
  t.is((await Keyring.open(bytes, { roots: [root] })).generation, 1)
})

test('no key comes out when a keyring is printed', async (t) => {
  const { keyring, root } = await newKeyring()
  const again = await reopen(await addRoots(keyring, [root], deps), root)
  const secrets = [again.keyringKey(), again.live(again.active.id).material].map((secret) =>
    Buffer.from(secret.expose()),
  )
  const texts = [
    inspect(again, { depth: 10, showHidden: true }),
    JSON.stringify(again),
    inspect(again.live(again.active.id), { depth: 10 }),
  ]
  for (const text of texts) {
    for (const secret of secrets) {
      t.false(text.includes(secret.toString('hex')))
      t.false(text.includes(secret.toString('base64url')))
      t.false(text.replace(/\s/g, '').includes([...secret.subarray(0, 8)].join(',')))
    }
  }
})
