import test from 'ava'
import { SecretBytes } from '../../../src/base/secret.ts'
import type { RootKey, SlotParams, WrappedByRoot } from '../../../src/keyring/root.ts'
import { fileRoot } from '../../../src/keyring/roots/file.ts'
import {
  defaultPassphraseCost,
  passphraseRoot,
  type PassphraseCost,
} from '../../../src/keyring/roots/passphrase.ts'
import { deps } from '../../support/keyrings.ts'

const cheap: PassphraseCost = { memoryKiB: 8, passes: 1, parallelism: 1 }
const context = Buffer.from('keyring and slot')

const passphrase = (text: string, cost = cheap): RootKey =>
  passphraseRoot(SecretBytes.copyOf(Buffer.from(text)), { ...deps, cost })

const kinds: Record<string, { root: () => RootKey; same: RootKey; params: readonly string[] }> = {}
{
  const key = deps.random(32)
  const file = (): RootKey => fileRoot(SecretBytes.copyOf(key), deps)
  kinds['file'] = { root: file, same: file(), params: ['salt'] }
  const text = 'correct horse battery staple'
  kinds['passphrase'] = {
    root: () => passphrase(text),
    same: passphrase(text, { memoryKiB: 16, passes: 2, parallelism: 2 }),
    params: ['salt', 'memoryKiB', 'passes', 'parallelism'],
  }
}

for (const [type, { root, same, params }] of Object.entries(kinds)) {
  const secret = SecretBytes.take(deps.random(32))

  test(`${type}: what was wrapped unwraps, with the same root opened again`, async (t) => {
    const slot = await root().wrap(secret, context)
    t.deepEqual(Object.keys(slot.params), params)
    t.is(root().type, type)
    for (const one of [root(), same]) {
      t.deepEqual((await one.unwrap(slot, context))?.expose(), secret.expose())
    }
  })

  test(`${type}: wrapping twice gives two slots with nothing in common`, async (t) => {
    const [one, other] = [await root().wrap(secret, context), await root().wrap(secret, context)]
    t.not(one.params['salt'], other.params['salt'])
    t.notDeepEqual(one.wrapped, other.wrapped)
  })

  test(`${type}: another root, context or salt, and any flipped byte, fit nothing`, async (t) => {
    const slot = await root().wrap(secret, context)
    const strangers = [fileRoot(SecretBytes.take(deps.random(32)), deps), passphrase('other')]
    const stranger = strangers.find((one) => one.type === type)
    t.is(await stranger?.unwrap(slot, context), undefined)
    t.is(await root().unwrap(slot, Buffer.from('another slot')), undefined)
    const salt = Buffer.from(deps.random(16)).toString('base64url')
    t.is(await root().unwrap({ ...slot, params: { ...slot.params, salt } }, context), undefined)
    for (let index = 0; index < slot.wrapped.byteLength; index += 1) {
      const wrapped = Uint8Array.from(slot.wrapped)
      wrapped[index] = (wrapped[index] ?? 0) ^ 1
      t.is(await root().unwrap({ ...slot, wrapped }, context), undefined)
    }
    t.is(await root().unwrap({ ...slot, wrapped: new Uint8Array(0) }, context), undefined)
  })

  test(`${type}: parameters that are not exactly the known ones are invalid`, async (t) => {
    const slot = await root().wrap(secret, context)
    const { salt: _salt, ...rest } = slot.params
    const bad: SlotParams[] = [
      rest,
      { ...slot.params, more: 1 },
      { ...slot.params, salt: 1 },
      { ...slot.params, salt: '' },
      { ...slot.params, salt: 'AAAAAAAAAAAAAAAAAAAAAAAA' },
      { ...slot.params, salt: 'AAAAAAAAAAAAAAAAAAAAAB' },
    ]
    for (const one of bad) {
      await t.throwsAsync(root().unwrap({ ...slot, params: one }, context), {
        code: 'ERR_ROOT_INVALID',
      })
    }
  })
}

const bounds: readonly (readonly [keyof PassphraseCost, unknown])[] = [
  ['memoryKiB', 7],
  ['memoryKiB', 1_048_577],
  ['memoryKiB', 8.5],
  ['memoryKiB', '8'],
  ['passes', 0],
  ['passes', 17],
  ['parallelism', 0],
  ['parallelism', 17],
  ['parallelism', 2],
  ['passes', undefined],
]
for (const [name, value] of bounds) {
  test(`passphrase: ${name} of ${JSON.stringify(value)} asks for work out of bounds`, async (t) => {
    const slot = await passphrase('x').wrap(SecretBytes.take(deps.random(32)), context)
    const edited = { ...slot, params: { ...slot.params, [name]: value } } as WrappedByRoot
    await t.throwsAsync(passphrase('x').unwrap(edited, context), { code: 'ERR_ROOT_INVALID' })
    const cost = { ...cheap, [name]: value }
    t.throws(() => passphrase('x', cost), { code: 'ERR_ROOT_INVALID' })
  })
}

test('passphrase: by default it costs what RFC 9106 recommends, and still takes well under a second', async (t) => {
  t.deepEqual(defaultPassphraseCost, { memoryKiB: 65_536, passes: 3, parallelism: 4 })
  const root = passphraseRoot(SecretBytes.copyOf(Buffer.from('x')), deps)
  const secret = SecretBytes.take(deps.random(32))
  const slot = await root.wrap(secret, context)
  t.like(slot.params, defaultPassphraseCost)
  t.deepEqual((await root.unwrap(slot, context))?.expose(), secret.expose())
})
