import test from 'ava'
import { parse as parseProperties } from 'dot-properties'
import { parse as parseDotenv } from 'dotenv'
import fc from 'fast-check'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { parse as parseYaml } from 'yaml'
import { utf8 } from '../../../src/base/bytes.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import type { EncodedFormat } from '../../../src/injection/plan.ts'
import { encodedFormats } from '../../../src/injection/plan.ts'
import { ByteWriter } from '../../../src/sidecar/render/byte-writer.ts'
import { encoders } from '../../../src/sidecar/render/formats.ts'

type Values = Readonly<Record<string, string | Uint8Array>>
type Reader = (text: string, keys: readonly string[]) => unknown

const encode = (format: EncodedFormat, values: Values): string => {
  const out = new ByteWriter()
  const entries = Object.entries(values).map(([key, value]) => ({
    key,
    value: SecretBytes.take(typeof value === 'string' ? utf8(value) : value),
  }))
  encoders[format](entries, out)
  return Buffer.from(out.take().expose()).toString('utf8')
}

/** The text, or the message of the refusal. */
const attempt = (format: EncodedFormat, values: Values): { text?: string; refusal?: string } => {
  try {
    return { text: encode(format, values) }
  } catch (error) {
    if (!isLatchkeyError(error, 'ERR_NOT_RENDERABLE')) throw error
    return { refusal: error.message }
  }
}

/** Sources the text in a real shell and prints each variable behind a mark. */
const readByShell: Reader = (text, keys) => {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-shell-'))
  try {
    writeFileSync(join(directory, 'env'), text)
    const print = keys.map((key) => `printf '%s\\001\\002' "$${key}"`).join('\n')
    const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', `. ./env\n${print}`], {
      cwd: directory,
      env: { PATH: '/nowhere' },
      maxBuffer: 1 << 26,
    })
    if (status !== 0 || stderr.byteLength > 0) throw new Error(stderr.toString())
    const values = stdout.toString('utf8').split('\u0001\u0002')
    return Object.fromEntries(keys.map((key, index) => [key, values[index]]))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const readers: Readonly<Record<EncodedFormat, Readonly<Record<string, Reader>>>> = {
  json: { 'JSON.parse': (text) => JSON.parse(text) as unknown },
  yaml: {
    'a YAML 1.2 reader': (text) => parseYaml(text) as unknown,
    'a YAML 1.1 reader': (text) => parseYaml(text, { version: '1.1' }) as unknown,
  },
  dotenv: {
    'Node.js': (text) => ({ ...parseEnv(text) }),
    'dotenv for Node.js': (text) => parseDotenv(text),
    'a shell': readByShell,
  },
  properties: { 'a properties reader': (text) => parseProperties(text) },
}

const hostile: Values = {
  EMPTY: '',
  PLAIN: 'hunter2',
  BLANKS: '  both ends  ',
  SINGLE: "it's",
  DOUBLE: 'say "hi"',
  COMMAND: '$(touch owned)`touch owned`',
  VARIABLE: '$HOME $0 $$',
  LINES: 'one\ntwo\n\nthree\n',
  BACKSLASH: 'a\\b\\n',
  TAB: 'a\tb',
  HASH: '# not a comment',
  ASSIGN: 'A=1\nB=2',
  EXPORT: 'export X=1',
  CONTROL: '\u0001\u0007\u001b[31m\u007f',
  UNICODE: 'é€ \u{1f600} \u{10ffff}',
  SEPARATORS: '\u0085\u00a0\u2028\u2029\ufeff',
  NUMBER: '0123',
  BOOLEAN: 'yes',
  NULL: 'null',
  DATE: '2001-01-01',
  MERGE: '<<: *a',
  BANG: '!important',
  PERCENT: '%s%n',
  PEM: '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n',
  JSON: '{"a":[1,2,{"b":null}]}',
}

for (const format of encodedFormats) {
  for (const [who, read] of Object.entries(readers[format])) {
    test(`${format}: ${who} gets hostile values back`, (t) => {
      t.deepEqual(read(encode(format, hostile), Object.keys(hostile)), hostile)
    })

    test(`${format}: ${who} gets a thousand keys back`, (t) => {
      const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`K${i}`, `v'${i}`]))
      t.deepEqual(read(encode(format, many), Object.keys(many)), many)
    })

    test(`${format}: ${who} gets a value of 1 MiB back`, (t) => {
      const large = { A: 'first', LARGE: 'x€'.repeat(262_144), Z: 'last' }
      t.deepEqual(read(encode(format, large), Object.keys(large)), large)
    })

    test(`${format}: whatever is not refused, ${who} gets back`, (t) => {
      const scrap = fc.constantFrom(
        ...["'", '"', '\\', '$', '`', '{', '}', '(', '\n', '\r', '\t', ' ', '#', '=', ':', '!'],
        ...['a', 'n', 'u', '0', '\0', '\u0085', '\u2028', '\ufeff', '\uffff', '\u{1f600}', '%'],
      )
      const value = fc.oneof(
        fc.array(scrap, { maxLength: 12 }).map((parts) => parts.join('')),
        fc.string({ unit: 'binary', maxLength: 30 }),
      )
      const shell = who === 'a shell'
      fc.assert(
        fc.property(fc.array(value, { minLength: 1, maxLength: shell ? 60 : 8 }), (values) => {
          const accepted = values.filter((each) => attempt(format, { K: each }).text !== undefined)
          const named = Object.fromEntries(accepted.map((each, i) => [`K${i}`, each]))
          t.deepEqual(read(encode(format, named), Object.keys(named)), named)
        }),
        { numRuns: shell ? 40 : 400 },
      )
    })
  }

  test(`${format}: bytes that are no text are refused by name, without their value`, (t) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (bytes) => {
        const { text, refusal } = attempt(format, { good: 'x', bad_key: bytes })
        const isText = Buffer.from(Buffer.from(bytes).toString('utf8')).equals(Buffer.from(bytes))
        if (!isText) t.is(text, undefined)
        if (refusal === undefined) return
        t.regex(refusal, /^key "bad_key" cannot be written as /)
      }),
    )
    const marked = attempt(format, { k: new Uint8Array([0xff, ...utf8('MARKER')]) })
    t.regex(marked.refusal ?? '', /it is not UTF-8 text$/)
    t.notRegex(marked.refusal ?? '', /MARKER/)
  })

  test(`${format}: no key at all is a document of its own`, (t) => {
    for (const read of Object.values(readers[format])) t.deepEqual(read(encode(format, {}), []), {})
  })
}

test('json and yaml hold NUL, and every text', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      if (!value.isWellFormed()) return
      t.deepEqual(JSON.parse(encode('json', { k: value })), { k: value })
      t.deepEqual(parseYaml(encode('yaml', { k: value })), { k: value })
      t.deepEqual(parseProperties(encode('properties', { k: value })), { k: value })
    }),
    { numRuns: 500 },
  )
})

test('json, yaml and properties keep keys that mean something to their readers', (t) => {
  const odd = { 'a.b-c_d': '1', null: '2', '0': '3', yes: '4', '-': '5', '.dockerconfigjson': '6' }
  t.deepEqual(JSON.parse(encode('json', odd)), odd)
  t.deepEqual(parseYaml(encode('yaml', odd), { version: '1.1' }), odd)
  t.deepEqual(parseProperties(encode('properties', odd)), odd)
  t.regex(encode('json', { ['__proto__']: 'x' }), /"__proto__": "x"/)
})

for (const [value, why] of [
  ['a\0b', 'it holds a NUL byte'],
  ['a\r\nb', 'it holds a carriage return'],
  ['${HOME}', 'it holds "${", which some readers replace'],
  ['a\\\\b', 'it holds two backslashes in a row'],
  ['a\\', 'it ends with a backslash'],
  [`it's $5`, 'it holds a single quote beside one of ", $, \\ and `'],
  [`it's "x"`, 'it holds a single quote beside one of ", $, \\ and `'],
  ["it's `x`", 'it holds a single quote beside one of ", $, \\ and `'],
  ["it's \\n", 'it holds a single quote beside one of ", $, \\ and `'],
] as const) {
  test(`dotenv refuses what its readers disagree on: ${JSON.stringify(value)}`, (t) => {
    t.is(attempt('dotenv', { KEY: value }).refusal, `key "KEY" cannot be written as dotenv: ${why}`)
  })
}

test('dotenv refuses names that no environment can have', (t) => {
  for (const key of ['a-b', 'a.b', '1a', '.a']) {
    t.regex(attempt('dotenv', { [key]: 'x' }).refusal ?? '', /its name is not letters, digits/)
  }
})

test('the forms are these', (t) => {
  const values = { a: 'x\ny', b: "it's" }
  t.is(encode('json', values), '{\n  "a": "x\\ny",\n  "b": "it\'s"\n}\n')
  t.is(encode('yaml', values), '"a": "x\\ny"\n"b": "it\'s"\n')
  t.is(encode('dotenv', values), "a='x\ny'\nb=\"it's\"\n")
  t.is(encode('properties', values), "a=x\\ny\nb=it's\n")
})

test('dotenv: names that a reader keeps for itself are refused, and others of a shell are not', (t) => {
  const refused = ['_', 'UID', 'EUID', 'PPID', 'RANDOM', 'SECONDS', 'LINENO', 'OPTIND', '__proto__']
  for (const name of refused) {
    t.regex(attempt('dotenv', { [name]: 'abc' }).refusal ?? '', /^key ".*" cannot be written/, name)
  }
  for (const name of ['PATH', 'HOME', 'IFS', 'PS4', 'ENV', 'PWD', 'MAIL', 'LANG', '__', 'uid']) {
    t.deepEqual(readByShell(encode('dotenv', { [name]: 'a b' }), [name]), { [name]: 'a b' })
  }
})
