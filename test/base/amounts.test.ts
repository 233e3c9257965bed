import test from 'ava'
import fc from 'fast-check'
import { parseBytes, printBytes } from '../../src/base/amounts.ts'

test('amounts of memory are read as Kubernetes writes them', (t) => {
  const amounts = {
    '0': 0,
    '128': 128,
    '1k': 1000,
    '96Mi': 100_663_296,
    '1Gi': 2 ** 30,
    '2T': 2e12,
  }
  for (const [text, bytes] of Object.entries(amounts)) t.is(parseBytes(text), bytes)
  for (const text of ['', '1.5Gi', '-1', '1e3', '1mi', '1 Mi', '999999999999T', 'Mi']) {
    t.is(parseBytes(text), undefined)
  }
})

test('printing and reading an amount of memory are inverse', (t) => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (bytes) => {
      t.is(parseBytes(printBytes(bytes)), bytes)
    }),
  )
  t.is(printBytes(100 * 2 ** 20), '100Mi')
  t.is(printBytes(2 ** 30), '1Gi')
  t.is(printBytes(1000), '1000')
  t.is(printBytes(0), '0')
})
