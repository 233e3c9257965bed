import test from 'ava'
import { format, inspect } from 'node:util'
import { SecretBytes } from '../../src/base/secret.ts'

const marked = (): SecretBytes => SecretBytes.take(new TextEncoder().encode('hunter2'))

const roads: Record<string, (secret: SecretBytes) => string> = {
  String: (secret) => String(secret),
  // eslint-disable-next-line @typescript-eslint/restrict-template-expressions -- the mistake under test
  'a template': (secret) => `${secret}`,
  'JSON.stringify': (secret) => JSON.stringify({ secret, list: [secret] }),
  'util.inspect': (secret) => inspect({ secret }, { showHidden: true, depth: 9 }),
  'util.inspect without custom functions': (secret) =>
    inspect(secret, { customInspect: false, showHidden: true, getters: false }),
  'util.format': (secret) => format('%s %o %O %j', secret, secret, secret, secret),
  'the fields': (secret) =>
    JSON.stringify(Object.entries(Object.getOwnPropertyDescriptors(secret))),
  'an error that holds it': (secret) => inspect(Object.assign(new Error('no'), { secret })),
}

for (const [title, print] of Object.entries(roads)) {
  test(`a secret does not come out through ${title}`, (t) => {
    const text = print(marked())
    t.false(text.includes('hunter2'))
    t.false(text.includes('104, 117'), 'as numbers')
  })
}

test('the bytes are there for those who ask', (t) => {
  using secret = marked()
  t.is(secret.byteLength, 7)
  t.is(new TextDecoder().decode(secret.expose()), 'hunter2')
})

test('taking takes the array itself, copying leaves it to the caller', (t) => {
  const bytes = Uint8Array.of(1, 2, 3)
  t.is(SecretBytes.take(bytes).expose(), bytes)
  const copy = SecretBytes.copyOf(bytes)
  bytes.fill(0)
  t.deepEqual(copy.expose(), Uint8Array.of(1, 2, 3))
})

test('a disposed secret is overwritten and says so to whoever uses it', (t) => {
  const bytes = Uint8Array.of(1, 2, 3)
  const secret = SecretBytes.take(bytes)
  const clone = secret.clone()
  secret[Symbol.dispose]()
  secret[Symbol.dispose]()
  t.deepEqual(bytes, new Uint8Array(3))
  t.throws(() => secret.expose(), { instanceOf: TypeError })
  t.throws(() => secret.byteLength, { instanceOf: TypeError })
  t.throws(() => secret.clone(), { instanceOf: TypeError })
  t.is(String(secret), '[secret]')
  t.deepEqual(clone.expose(), Uint8Array.of(1, 2, 3))
})
