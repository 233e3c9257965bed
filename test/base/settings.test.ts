import test from 'ava'
import * as yaml from 'yaml'
import { parseFlags, parseMapping, parseSettingsFile } from '../../src/base/settings.ts'

const of = {
  program: 'latchkey-test',
  flags: {
    listen: { type: 'string' },
    root: { type: 'string', multiple: true },
    once: { type: 'boolean' },
    group: { type: 'string' },
    config: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
  numbers: ['group'],
} as const

test('flags are read, and one that may be given several times is a list', (t) => {
  const args = ['--listen', ':1', '--root=a', '--root', 'b', '--once', '-h']
  t.deepEqual(
    { ...parseFlags(args, of) },
    { listen: ':1', root: ['a', 'b'], once: true, help: true },
  )
})

for (const [what, args] of [
  ['an unknown flag', ['--x=s3cret']],
  ['an argument', ['s3cret']],
  ['a flag without its text', ['--listen']],
  ['a text for a flag without one', ['--once=s3cret']],
] as const) {
  test(`a command line is refused for ${what}, and no value is repeated`, (t) => {
    const error = t.throws(() => parseFlags(args, of), { code: 'ERR_USAGE' })
    t.false(error.message.includes('s3cret'))
  })
}

test('a file holds the same, and a number where one is natural', (t) => {
  const text = 'listen: ":1"\nroot: [a, b]\nonce: true\ngroup: 12\n'
  t.deepEqual(parseSettingsFile(yaml, text, of), {
    listen: ':1',
    root: ['a', 'b'],
    once: true,
    group: '12',
  })
  t.deepEqual(parseSettingsFile(yaml, 'root: a', of), { root: 'a' })
})

test('an empty file says nothing', (t) => {
  t.deepEqual(parseSettingsFile(yaml, '# nothing\n', of), {})
})

for (const [what, text] of [
  ['an unknown key', 'x: s3cret'],
  ['a key that every object has', 'constructor: s3cret'],
  ['a flag that makes no sense in a file', 'config: s3cret'],
  ['a number where none is natural', 'listen: 5'],
  ['a list where one text is due', 'listen: [s3cret]'],
  ['a list of something else', 'root: [s3cret, 5]'],
  ['a text for true or false', 'once: "s3cret"'],
  ['a key given twice', 'listen: a\nlisten: s3cret'],
] as const) {
  test(`a file is refused for ${what}, and no value is repeated`, (t) => {
    const error = t.throws(() => parseSettingsFile(yaml, text, of), { code: 'ERR_CONFIG_INVALID' })
    t.false(error.message.includes('s3cret'))
  })
}

for (const [what, text] of [
  ['a list', '[]'],
  ['a text', 'x'],
  ['no YAML', '"'],
  ['an alias', 'a: &x 1\nb: *x'],
] as const) {
  test(`a mapping is refused for ${what}`, (t) => {
    t.throws(() => parseMapping(yaml, text, 'latchkey-test'), { code: 'ERR_CONFIG_INVALID' })
  })
}
