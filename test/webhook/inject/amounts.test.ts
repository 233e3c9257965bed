import test from 'ava'
import { canonicalCpu } from '../../../src/webhook/inject/amounts.ts'

test('amounts of CPU are spelled as the API server spells them', (t) => {
  const amounts = {
    '1': '1',
    '0.1': '100m',
    '100m': '100m',
    '1000m': '1',
    '1.5': '1500m',
    '0.005': '5m',
  }
  for (const [text, canonical] of Object.entries(amounts)) t.is(canonicalCpu(text), canonical)
  for (const text of ['', '1.5m', '0.0001', '-1', '1k']) t.is(canonicalCpu(text), undefined)
})
