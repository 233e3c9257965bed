import test from 'ava'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { parseRootSpec } from '../../../src/keyring/roots/spec.ts'

for (const [text, spec] of [
  ['file:/etc/latchkey/root', { type: 'file', from: 'path', path: '/etc/latchkey/root' }],
  ['file:root', { type: 'file', from: 'path', path: 'root' }],
  ['file:./fd:3', { type: 'file', from: 'path', path: './fd:3' }],
  ['file:a:b', { type: 'file', from: 'path', path: 'a:b' }],
  ['file:credential:root', { type: 'file', from: 'credential', name: 'root' }],
  ['passphrase:p.txt', { type: 'passphrase', from: 'path', path: 'p.txt' }],
  ['passphrase:fd:0', { type: 'passphrase', from: 'descriptor', descriptor: 0 }],
  ['passphrase:fd:63', { type: 'passphrase', from: 'descriptor', descriptor: 63 }],
  ['passphrase:credential:p-1', { type: 'passphrase', from: 'credential', name: 'p-1' }],
] as const) {
  test(`${text} says where a root is`, (t) => {
    t.deepEqual(parseRootSpec(text), spec)
  })
}

for (const text of [
  '',
  'hunter2',
  ':hunter2',
  'hunter2:x',
  'File:hunter2',
  'file:',
  'passphrase:',
  'passphrase:fd:',
  'passphrase:fd:hunter2',
  'passphrase:fd:-1',
  'passphrase:fd:123456',
  'file:fd:3',
  'file:hunter2\0',
  'file:credential:',
  'file:credential:../hunter2',
  'file:credential:.hunter2',
  'passphrase:credential:a/hunter2',
]) {
  test(`${JSON.stringify(text)} is used wrongly, and is not repeated`, (t) => {
    const error = t.throws(() => parseRootSpec(text), { code: 'ERR_USAGE' })
    t.false(error.message.includes('hunter2'))
    t.false(isLatchkeyError(error) && error.hint?.includes('hunter2') === true)
  })
}
