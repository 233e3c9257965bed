import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../src/base/secret.ts'
import {
  maxContentBytes,
  maxEntries,
  maxValueBytes,
  SecretContent,
} from '../../src/secrets/content.ts'
import { createVersioner } from '../../src/secrets/version.ts'
import { contentOf } from '../support/secret-store.ts'

const place = { namespace: 'shop', secret: 'db' }
const versioner = createVersioner(SecretBytes.take(new Uint8Array(32).fill(1)))
const values = fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.uint8Array({ maxLength: 3 }), {
  maxKeys: 4,
  noNullPrototype: true,
})

test('entries are in order of their keys, whatever order they came in', (t) => {
  const content = contentOf({ b: '2', a: '1', B: '3', '0': '4' })
  t.deepEqual(
    content.entries.map(({ key }) => key),
    ['0', 'B', 'a', 'b'],
  )
})

test('contents are equal exactly when keys and values are, and then exactly their versions are', (t) => {
  fc.assert(
    fc.property(values, values, (a, b) => {
      const hex = (of: Record<string, Uint8Array>): string =>
        JSON.stringify(
          Object.entries(of)
            .map(([k, v]) => [k, Buffer.from(v).toString('hex')])
            .sort(),
        )
      const [one, two] = [contentOf(a), contentOf(b)]
      const same = hex(a) === hex(b)
      const versions = [one, two].map((it) => versioner.ofEntries(it.entries, place))
      return one.equals(two) === same && (versions[0] === versions[1]) === same
    }),
    { numRuns: 500 },
  )
  t.pass()
})

test('a version depends on key, namespace and name, and is 22 characters', (t) => {
  const { entries } = contentOf({ k: 'v' })
  const other = createVersioner(SecretBytes.take(new Uint8Array(32).fill(2)))
  const versions = new Set([
    versioner.ofEntries(entries, place),
    versioner.ofEntries(entries, { ...place, namespace: 'bank' }),
    versioner.ofEntries(entries, { ...place, secret: 'tls' }),
    versioner.ofEntries([], place),
    other.ofEntries(entries, place),
    versioner.ofSet(['a', 'b']),
    versioner.ofSet(['ab']),
  ])
  t.is(versions.size, 7)
  for (const version of versions) t.regex(version, /^[A-Za-z0-9_-]{22}$/)
})

test('what is selected is what exists of what is wanted; nothing wanted is everything', (t) => {
  const content = contentOf({ a: '1', b: '2', c: '3' })
  t.deepEqual(
    content.select(['c', 'nope', 'a']).map(({ key }) => key),
    ['a', 'c'],
  )
  t.is(content.select([]).length, 3)
})

test('what is over a limit, badly named or twice there is refused, and wiped', (t) => {
  const refuse = (entries: readonly [string, number][], code: string): void => {
    const taken = entries.map(([key, size]) => ({
      key,
      value: SecretBytes.take(new Uint8Array(size)),
    }))
    t.throws(() => SecretContent.take(taken), { code })
    for (const { value } of taken) t.throws(() => value.expose(), { instanceOf: TypeError })
  }
  refuse([['a', maxValueBytes + 1]], 'ERR_SECRET_TOO_LARGE')
  refuse(
    Array.from({ length: maxContentBytes / maxValueBytes + 1 }, (_, i) => [`k${i}`, maxValueBytes]),
    'ERR_SECRET_TOO_LARGE',
  )
  refuse(
    Array.from({ length: maxEntries + 1 }, (_, i) => [`k${i}`, 0]),
    'ERR_SECRET_TOO_LARGE',
  )
  refuse(
    [
      ['a', 1],
      ['a/b', 1],
    ],
    'ERR_SECRET_KEY',
  )
  refuse(
    [
      ['a', 1],
      ['a', 1],
    ],
    'ERR_SECRET_KEY',
  )
  const atTheLimit = SecretContent.take([
    { key: 'a', value: SecretBytes.take(new Uint8Array(maxValueBytes)) },
  ])
  t.is(atTheLimit.byteLength, maxValueBytes)
})

test('disposal wipes the values, and those of a clone are its own', (t) => {
  const content = contentOf({ a: 'secret' })
  const clone = content.clone()
  const bytes = content.entries[0]?.value.expose()
  content[Symbol.dispose]()
  t.deepEqual(Buffer.from(bytes ?? []), Buffer.alloc(6))
  t.is(Buffer.from(clone.entries[0]?.value.expose() ?? []).toString(), 'secret')
})
