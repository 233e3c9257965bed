import test from 'ava'
import { parseHostPort, printHostPort } from '../../src/base/address.ts'

for (const [text, host, port] of [
  ['127.0.0.1:9090', '127.0.0.1', 9090],
  ['localhost:0', 'localhost', 0],
  ['[::1]:65535', '::1', 65_535],
  ['kms-1.example.com:1', 'kms-1.example.com', 1],
] as const) {
  test(`${text} is read and printed`, (t) => {
    t.deepEqual(parseHostPort(text, 'metrics'), { host, port })
    t.is(printHostPort(parseHostPort(text, 'metrics')), text)
  })
}

for (const text of [
  '',
  ':',
  '9090',
  ':9090',
  'host',
  'host:',
  'host:-1',
  'host:65536',
  'host:1e3',
  '::1:9090',
  '[::1]',
  '[::1]9090',
  'ho st:1',
  'http://host:1',
  '-a:1',
  '[]:1',
]) {
  test(`"${text}" is refused with the name of the field`, (t) => {
    const error = t.throws(() => parseHostPort(text, 'metrics'), { code: 'ERR_CONFIG_INVALID' })
    t.regex(error.message, /^metrics /)
  })
}
