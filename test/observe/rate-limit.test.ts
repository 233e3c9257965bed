import test from 'ava'
import { createRateLimit } from '../../src/observe/rate-limit.ts'

function limitAt() {
  const clock = { now: 0, monotonicMs: () => clock.now }
  return { clock, limit: createRateLimit({ intervalMs: 1000, clock }) }
}

test('each key is admitted once per interval and says how often it was held back', (t) => {
  const { clock, limit } = limitAt()
  t.deepEqual(limit.admit('a'), { heldBack: 0 })
  t.is(limit.admit('a'), undefined)
  t.is(limit.admit('a'), undefined)
  t.deepEqual(limit.admit('b'), { heldBack: 0 })
  clock.now = 999
  t.is(limit.admit('a'), undefined)
  clock.now = 1000
  t.deepEqual(limit.admit('a'), { heldBack: 3 })
  clock.now = 2000
  t.deepEqual(limit.admit('a'), { heldBack: 0 })
})

test('a peer who invents keys pushes out the longest unseen, not the memory', (t) => {
  const { limit } = limitAt()
  limit.admit('first')
  for (let n = 0; n < 256; n += 1) limit.admit(`key ${n}`)
  t.is(limit.admit('key 255'), undefined)
  t.deepEqual(limit.admit('first'), { heldBack: 0 })
})
