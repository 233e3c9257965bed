import test from 'ava'
import { parseSocketUrl } from '../../src/net/socket-path.ts'

test('unix:///PATH gives the path', (t) => {
  t.is(parseSocketUrl('unix:///run/latchkey/kms.sock', 'listen'), '/run/latchkey/kms.sock')
  t.is(parseSocketUrl('unix:///kms.sock', 'listen'), '/kms.sock')
})

const refused: Record<string, RegExp> = {
  '': /is not unix/,
  'unix://': /is not unix/,
  '/run/kms.sock': /is not unix/,
  'tcp://127.0.0.1:1': /is not unix/,
  'unix://kms.sock': /absolute, plain/,
  'unix:///run/../kms.sock': /absolute, plain/,
  'unix:///run//kms.sock': /absolute, plain/,
  'unix:///run/': /absolute, plain/,
  'unix:///': /absolute, plain/,
  'unix:///@kms': /abstract/,
  'unix://@kms': /abstract/,
  'unix:///run/\0kms': /abstract/,
}
for (const [url, message] of Object.entries(refused)) {
  test(`${JSON.stringify(url)} is refused, naming the field`, (t) => {
    const error = t.throws(() => parseSocketUrl(url, 'listen'), { code: 'ERR_SOCKET_PATH' })
    t.regex(error.message, message)
    t.regex(error.message, /^listen /)
  })
}

test('a path fits when it and its temporary name are at most 107 bytes', (t) => {
  const directory = `/${'d'.repeat(93)}`
  t.notThrows(() => parseSocketUrl(`unix://${directory}/${'n'.repeat(12)}`, 'listen'))
  t.throws(() => parseSocketUrl(`unix://${directory}/${'n'.repeat(13)}`, 'listen'), {
    message: /too long/,
  })
  // The temporary name counts too.
  t.throws(() => parseSocketUrl(`unix://${directory}x/n`, 'listen'), { message: /too long/ })
  // Bytes, not characters.
  t.throws(() => parseSocketUrl(`unix:///${'é'.repeat(50)}/kms.sock`, 'listen'), {
    message: /too long/,
  })
})
