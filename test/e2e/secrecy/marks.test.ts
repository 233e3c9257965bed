import test from 'ava'
import { inspect } from 'node:util'
import { markOf, marksIn } from './marks.ts'

const secret = Buffer.from('MARKED-SECRET-0123456789')
const marks = [markOf('secret', secret)]
const leaks: Record<string, string> = {
  raw: `x${secret.toString()}y`,
  hexadecimal: secret.toString('hex'),
  inspected: inspect(secret),
  'inspected as bytes': inspect(new Uint8Array(secret), { breakLength: Infinity }),
  JSON: JSON.stringify(secret),
  base64: secret.toString('base64'),
  'base64url within something': Buffer.concat([
    Buffer.from('a'),
    secret,
    Buffer.from('zz'),
  ]).toString('base64url'),
  'base64 within something': Buffer.concat([Buffer.from('ab'), secret]).toString('base64'),
}

for (const [title, text] of Object.entries(leaks)) {
  test(`a leak is found: ${title}`, (t) => {
    t.deepEqual(marksIn(text, marks), ['secret'])
  })
}

test('what is no leak is not found', (t) => {
  t.deepEqual(marksIn('MARKED-SECRET', marks), [])
})
