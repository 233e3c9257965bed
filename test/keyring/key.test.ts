import test from 'ava'
import { createRandomPool } from '../../src/base/random.ts'
import { keyStates, makeKeyId, parseKeyId } from '../../src/keyring/key.ts'

const random = createRandomPool()

test('a key id tells the generation it was born in', (t) => {
  for (const generation of [1, 42, 9_999_999_999]) {
    const id = makeKeyId(generation, random)
    t.deepEqual(parseKeyId(id), { generation })
    t.true(id.startsWith(`lk1.${generation}.`))
    t.true(Buffer.byteLength(id) <= 37)
  }
})

test('ten thousand key ids are ten thousand', (t) => {
  t.is(new Set(Array.from({ length: 10_000 }, () => makeKeyId(1, random))).size, 10_000)
})

for (const id of [
  '',
  'lk1',
  'lk1.1.',
  'lk2.1.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.0.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.01.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.-1.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.10000000000.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.1.AAAAAAAAAAAAAAAAAAAAA',
  'lk1.1.AAAAAAAAAAAAAAAAAAAAAAA',
  'lk1.1.AAAAAAAAAAAAAAAAAAAAAB',
  'lk1.1.AAAAAAAAAAAAAAAAAAAA+A',
  ' lk1.1.AAAAAAAAAAAAAAAAAAAAAA',
  'lk1.1.AAAAAAAAAAAAAAAAAAAAAA\n',
]) {
  test(`${JSON.stringify(id)} is no key id of ours`, (t) => {
    t.is(parseKeyId(id), undefined)
  })
}

test('states stand in the order of a life', (t) => {
  t.deepEqual(keyStates, ['staged', 'active', 'superseded', 'retired', 'destroyed'])
})
