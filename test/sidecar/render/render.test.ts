import test from 'ava'
import fc from 'fast-check'
import { spawnSync } from 'node:child_process'
import { utf8 } from '../../../src/base/bytes.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { parsePlan } from '../../../src/injection/parse.ts'
import { encodedFormats, type MountEntry } from '../../../src/injection/plan.ts'
import { filters } from '../../../src/injection/template.ts'
import { neededKeys, render } from '../../../src/sidecar/render/render.ts'
import type { Rendering } from '../../../src/sidecar/render/render.ts'
import { applyFilters } from '../../../src/sidecar/render/template-filters.ts'

const entryOf = (fields: object): MountEntry => {
  const [entry] = parsePlan(JSON.stringify([{ secret: 'db', ...fields }])).entries
  if (entry === undefined) throw new Error('no entry')
  return entry
}

const valuesOf = (values: Readonly<Record<string, string | Uint8Array>>) =>
  Object.entries(values).map(([key, value]) => ({
    key,
    value: SecretBytes.copyOf(typeof value === 'string' ? utf8(value) : value),
  }))

const shown = (rendering: Rendering): unknown =>
  rendering.kind === 'files'
    ? rendering.files.map(({ name, bytes }) => [name, Buffer.from(bytes.expose()).toString()])
    : rendering.kind === 'missing'
      ? { missing: rendering.keys }
      : { refused: rendering.error.message }

const template = (text: string): MountEntry => entryOf({ path: '/x/y/z', template: text })

test('one key is its bytes, whatever they are', (t) => {
  const bytes = new Uint8Array([0, 255, 10, 13, 128])
  const rendering = render(entryOf({ key: 'k', path: '/x/y/file' }), valuesOf({ k: bytes, l: 'x' }))
  if (rendering.kind !== 'files') return t.fail()
  t.is(rendering.files[0]?.name, 'file')
  t.deepEqual(rendering.files[0]?.bytes.expose(), bytes)
})

test('a whole secret is one file per key', (t) => {
  const values = valuesOf({ 'tls.crt': 'a', 'tls.key': 'b' })
  t.deepEqual(shown(render(entryOf({ path: '/x/y/' }), values)), [
    ['tls.crt', 'a'],
    ['tls.key', 'b'],
  ])
  t.deepEqual(shown(render(entryOf({ path: '/x/y/' }), [])), [])
})

test('a template is its text with the values in their places', (t) => {
  t.deepEqual(
    shown(
      render(
        template('user={{ user }}\nuri=pg://{{ user | uri }}:{{ pw | trim | uri }}@db {{ "{{" }}'),
        valuesOf({ user: 'a b', pw: 'p/ä"\n' }),
      ),
    ),
    [['z', 'user=a b\nuri=pg://a%20b:p%2F%C3%A4%22@db {{']],
  )
})

test('a value that looks like a template is only a value', (t) => {
  t.deepEqual(shown(render(template('{{ a }}'), valuesOf({ a: '{{ b }}', b: 'secret' }))), [
    ['z', '{{ b }}'],
  ])
})

test('keys that are not there are named, never rendered', (t) => {
  t.deepEqual(shown(render(template('{{ a }}{{ b }}{{ c }}'), valuesOf({ b: '' }))), {
    missing: ['a', 'c'],
  })
  t.deepEqual(shown(render(entryOf({ key: 'k', path: '/x/y/z' }), [])), { missing: ['k'] })
})

test('names of the language’s own objects are no keys', (t) => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    t.deepEqual(shown(render(template(`{{ ${key} }}`), valuesOf({ a: 'x' }))), { missing: [key] })
  }
})

test('what a format cannot hold is refused by name', (t) => {
  const entry = entryOf({ path: '/x/y/z', format: 'dotenv' })
  t.deepEqual(shown(render(entry, valuesOf({ A: '1', B: 'x\0MARKER' }))), {
    refused: 'key "B" cannot be written as dotenv: it holds a NUL byte',
  })
  t.deepEqual(shown(render(template('{{ a | shell }}'), valuesOf({ a: '\0' }))), {
    refused: 'key "a" cannot be written as a shell word: it holds a NUL byte',
  })
})

test('a template cannot grow without bound', (t) => {
  const million = valuesOf({ a: new Uint8Array(1_048_576).fill(97) })
  const rendering = render(template('{{ a }}'.repeat(40)), million)
  t.is(rendering.kind, 'refused')
})

test('nor can a value on its way through filters', (t) => {
  const value = SecretBytes.take(new Uint8Array(32 * 1_048_576 - 1).fill(97))
  t.throws(() => applyFilters({ key: 'k', value }, ['shell', 'trim']), {
    code: 'ERR_NOT_RENDERABLE',
    message: 'the rendered file is over 33554432 bytes',
  })
})

for (const format of encodedFormats) {
  test(`a secret as ${format} cannot grow without bound`, (t) => {
    const value = SecretBytes.take(new Uint8Array(1_048_576).fill(97))
    const values = Array.from({ length: 33 }, (_, index) => ({ key: `k${index}`, value }))
    const entry = entryOf({ path: '/x/y/z', format })
    const rendering = render(entry, values)
    t.like(rendering, { kind: 'refused', error: { code: 'ERR_NOT_RENDERABLE' } })
    t.deepEqual(shown(rendering), { refused: 'the rendered file is over 33554432 bytes' })
    t.is(render(entry, values.slice(0, 2)).kind, 'files')
  })
}

test('the keys an entry needs are known without the secret', (t) => {
  t.deepEqual(neededKeys(entryOf({ key: 'k', path: '/x/y/z' })), ['k'])
  t.deepEqual(neededKeys(template('{{ b }}{{ a }}{{ b | json }}')), ['b', 'a'])
  t.is(neededKeys(entryOf({ path: '/x/y/' })), undefined)
  t.is(neededKeys(entryOf({ path: '/x/y/z', format: 'json' })), undefined)
})

const filtered = (bytes: Uint8Array, ...names: (typeof filters)[number][]): Buffer =>
  Buffer.from(applyFilters({ key: 'k', value: SecretBytes.copyOf(bytes) }, names).expose())

test('base64 is the platform’s base64', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      t.is(filtered(bytes, 'base64').toString(), Buffer.from(bytes).toString('base64'))
    }),
  )
})

test('uri is undone by decodeURIComponent and leaves only unreserved characters', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      if (!text.isWellFormed()) return
      const encoded = filtered(utf8(text), 'uri').toString()
      t.regex(encoded, /^(?:[-._~A-Za-z0-9]|%[0-9A-F]{2})*$/)
      t.is(decodeURIComponent(encoded), text)
    }),
  )
})

test('a shell word is one word to a real shell, whatever bytes it holds', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 30 }), (values) => {
      const words = values.filter((each) => !each.includes(0))
      const script = Buffer.concat([
        Buffer.from("printf '%s|\\n' "),
        ...words.flatMap((each) => [filtered(each, 'shell'), Buffer.from(' ')]),
      ])
      const { stdout } = spawnSync('/bin/sh', { input: script, env: {} })
      const expected = words.length === 0 ? [Buffer.from('|\n')] : []
      for (const each of words) expected.push(Buffer.from(each), Buffer.from('|\n'))
      t.deepEqual(stdout, Buffer.concat(expected))
    }),
    { numRuns: 60 },
  )
})

test('json and yaml filters are quoted scalars', (t) => {
  t.is(filtered(utf8('a"b\n'), 'json').toString(), '"a\\"b\\n"')
  t.is(filtered(utf8('no'), 'yaml').toString(), '"no"')
})

test('trim takes line ends from the end alone', (t) => {
  t.is(filtered(utf8('\n a \r\n\n'), 'trim').toString(), '\n a ')
  t.is(filtered(utf8('\n\n'), 'trim').toString(), '')
})

test('every filter can follow every other', (t) => {
  for (const one of filters) {
    for (const two of filters) t.true(filtered(utf8('a'), one, two).byteLength > 0)
  }
})
