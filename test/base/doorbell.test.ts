import test from 'ava'
import { systemClock } from '../../src/base/clock.ts'
import { Doorbell } from '../../src/base/doorbell.ts'

const never = new AbortController().signal
const clock = systemClock

test('a ring ends the wait, also one from before', async (t) => {
  const bell = new Doorbell()
  const waiting = bell.wait({ signal: never, clock })
  bell.ring()
  await waiting
  bell.ring()
  bell.ring()
  await bell.wait({ signal: never, clock })
  let woken = false
  const third = bell.wait({ signal: never, clock }).then(() => (woken = true))
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.false(woken, 'rings are kept as one')
  bell.ring()
  await third
  t.true(woken)
})

test('time ends the wait, and a ring before it ends it sooner', async (t) => {
  const bell = new Doorbell()
  const keepAlive = setInterval(() => undefined, 1000)
  t.teardown(() => {
    clearInterval(keepAlive)
  })
  await bell.wait({ signal: never, clock, ms: 10 })
  const waiting = bell.wait({ signal: never, clock, ms: 60_000 })
  bell.ring()
  await waiting
  t.pass()
})

test('an abort ends the wait without an error', async (t) => {
  const bell = new Doorbell()
  const stop = new AbortController()
  const waiting = bell.wait({ signal: stop.signal, clock, ms: 60_000 })
  stop.abort()
  await t.notThrowsAsync(waiting)
  await t.notThrowsAsync(bell.wait({ signal: stop.signal, clock }))
})
