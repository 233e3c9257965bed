import test from 'ava'
import fc from 'fast-check'
import { readFile } from 'node:fs/promises'
import { fromBase64Url } from '../../../src/base/bytes.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { SecretContent } from '../../../src/secrets/content.ts'
import {
  createStoreId,
  decodeEntry,
  deriveStoreKeys,
  encodeEntry,
  encodeHeader,
  openHeader,
} from '../../../src/secrets/sources/file-format.ts'
import { decodeContent, encodeContent } from '../../../src/secrets/sources/file-content.ts'
import { contentOf, textsOf } from '../../support/secret-store.ts'

const random = createRandomPool()
const root = SecretBytes.take(new Uint8Array(32).fill(7))
const keys = deriveStoreKeys(root, createStoreId(random))
const place = { namespace: 'shop', name: 'db', revision: 3 }
const runs = process.env['SLOW'] === undefined ? 100 : 10_000

const arbitraryContent = fc
  .dictionary(
    fc.stringMatching(/^[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,40}$/),
    fc.uint8Array({ maxLength: 200 }),
    { maxKeys: 12, noNullPrototype: true },
  )
  .map(contentOf)

interface Vector {
  readonly title: string
  readonly root: string
  readonly id: string
  readonly place: { readonly namespace: string; readonly name: string; readonly revision: number }
  readonly nonce: string
  readonly content: Readonly<Record<string, string>> | null
  readonly entry: string
}

test('vectors: each opens to its content and is written again byte for byte', async (t) => {
  const path = new URL('../../vectors/secret-store/entries.json', import.meta.url)
  const vectors = JSON.parse(await readFile(path, 'utf8')) as readonly Vector[]
  t.true(vectors.length >= 4)
  for (const vector of vectors) {
    const bytesOf = (text: string): Uint8Array => fromBase64Url(text) ?? t.fail(vector.title)
    using vectorRoot = SecretBytes.take(bytesOf(vector.root))
    using vectorKeys = deriveStoreKeys(vectorRoot, vector.id)
    const entry = bytesOf(vector.entry)
    using content = decodeEntry(entry, { keys: vectorKeys, place: vector.place })
    t.deepEqual(textsOf(content) ?? null, vector.content, vector.title)
    const again = encodeEntry(content, {
      keys: vectorKeys,
      place: vector.place,
      random: () => bytesOf(vector.nonce),
    })
    t.deepEqual(Buffer.from(again), Buffer.from(entry), vector.title)
  }
})

test('what was sealed opens to the same content', (t) => {
  fc.assert(
    fc.property(arbitraryContent, (content) => {
      const entry = encodeEntry(content, { keys, place, random })
      return decodeEntry(entry, { keys, place })?.equals(content) === true
    }),
    { numRuns: runs },
  )
  t.is(decodeEntry(encodeEntry(undefined, { keys, place, random }), { keys, place }), undefined)
})

test('every flipped byte and every cut is refused, and the untouched entry still opens', (t) => {
  const entry = encodeEntry(contentOf({ password: 'hunter2' }), { keys, place, random })
  for (let index = 0; index < entry.byteLength; index += 1) {
    const altered = Uint8Array.from(entry)
    altered[index] = (altered[index] ?? 0) ^ 1
    t.throws(() => decodeEntry(altered, { keys, place }), { code: 'ERR_SECRET_STORE_INVALID' })
    const cut = entry.subarray(0, index)
    t.throws(() => decodeEntry(cut, { keys, place }), { code: 'ERR_SECRET_STORE_INVALID' })
  }
  t.deepEqual(textsOf(decodeEntry(entry, { keys, place })), { password: 'hunter2' })
})

test('an entry opens in its own place only', (t) => {
  const entry = encodeEntry(contentOf({ k: 'v' }), { keys, place, random })
  const otherStore = deriveStoreKeys(root, createStoreId(random))
  for (const options of [
    { keys, place: { ...place, namespace: 'bank' } },
    { keys, place: { ...place, name: 'tls' } },
    { keys, place: { ...place, revision: 4 } },
    { keys: otherStore, place },
  ]) {
    t.throws(() => decodeEntry(entry, options), { code: 'ERR_SECRET_STORE_INVALID' })
  }
})

test('any bytes either are refused by their code or decode to what encodes to them again', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      let content: SecretContent | undefined
      try {
        content = decodeContent(bytes)
      } catch (error) {
        return (error as { code?: string }).code?.startsWith('ERR_SECRET') === true
      }
      return Buffer.from(encodeContent(content).expose()).equals(bytes)
    }),
    { numRuns: runs * 10 },
  )
  t.pass()
})

test('keys out of order, repeated, or with bytes after them are refused', (t) => {
  const entry = (key: string): string =>
    `00${key.length.toString(16).padStart(2, '0')}${Buffer.from(key).toString('hex')}00000000`
  const refused = [
    `0100000002${entry('b')}${entry('a')}`,
    `0100000002${entry('a')}${entry('a')}`,
    `0100000001${entry('a')}00`,
    `0100000002${entry('a')}`,
    '0000',
    '02',
    '',
  ]
  for (const hex of refused) {
    t.throws(() => decodeContent(Buffer.from(hex, 'hex')), { code: 'ERR_SECRET_STORE_INVALID' })
  }
  t.throws(() => decodeContent(Buffer.from(`0100000001${entry('a b')}`, 'hex')), {
    code: 'ERR_SECRET_KEY',
  })
})

test('a header opens with its root only, and refuses what it does not know', (t) => {
  const header = encodeHeader(keys, random)
  t.is(openHeader(header, root).id, keys.id)
  using wrong = SecretBytes.take(new Uint8Array(32).fill(8))
  t.throws(() => openHeader(header, wrong), { code: 'ERR_ROOT_WRONG' })
  const parsed = JSON.parse(Buffer.from(header).toString()) as Record<string, unknown>
  for (const change of [
    { extra: 1 },
    { version: 2 },
    { format: 'x' },
    { id: 'AAAA' },
    { check: 'no base64!' },
    { check: undefined },
  ]) {
    const altered = Buffer.from(JSON.stringify({ ...parsed, ...change }))
    t.throws(() => openHeader(altered, root), { code: 'ERR_SECRET_STORE_INVALID' })
  }
  const foreign = Buffer.from(JSON.stringify({ ...parsed, id: createStoreId(random) }))
  t.throws(() => openHeader(foreign, root), { code: 'ERR_ROOT_WRONG' })
  t.throws(() => openHeader(Buffer.from('{'), root), { code: 'ERR_SECRET_STORE_INVALID' })
  t.throws(() => openHeader(Buffer.from('null'), root), { code: 'ERR_SECRET_STORE_INVALID' })
})
