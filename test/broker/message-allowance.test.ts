import test from 'ava'
import { MessageAllowance } from '../../src/broker/message-allowance.ts'

test('who answers every set, and some twice, may go on however fast they come', (t) => {
  const allowance = new MessageAllowance({ monotonicMs: () => 1_000 })
  t.notThrows(() => {
    for (let set = 0; set < 10_000; set += 1) {
      allowance.earn()
      allowance.spend()
      allowance.spend()
    }
  })
})

test('a flood that no set has asked for is cut off, and time forgives', (t) => {
  let now = 1_000
  const allowance = new MessageAllowance({ monotonicMs: () => now })
  const flood = (): void => {
    for (let count = 0; count < 51; count += 1) allowance.spend()
  }
  t.throws(flood, { code: 'ERR_LIMIT' })
  t.throws(() => {
    allowance.spend()
  })
  now += 200
  allowance.spend()
  t.throws(() => {
    allowance.spend()
  })
})

test('a client that was held up may answer many sets at once, and still not flood', (t) => {
  const allowance = new MessageAllowance({ monotonicMs: () => 1_000 })
  for (let set = 0; set < 5_000; set += 1) allowance.earn()
  for (let count = 0; count < 1_000; count += 1) allowance.spend()
  const flood = (): void => {
    for (let count = 0; count < 1_001; count += 1) allowance.spend()
  }
  t.throws(flood, { code: 'ERR_LIMIT' })
})
