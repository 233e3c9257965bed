import test, { type ExecutionContext } from 'ava'
import { Tidying } from '../../../src/sidecar/agent/tidying.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function start(t: ExecutionContext): {
  readonly clock: ManualClock
  readonly tidying: Tidying
  readonly count: () => number
  readonly ways: readonly string[]
  readonly stop: () => Promise<void>
} {
  const clock = new ManualClock()
  const ways: string[] = []
  const tidying = new Tidying((how) => ways.push(how), clock)
  const stopping = new AbortController()
  const ended = tidying.run(stopping.signal).catch((error: unknown) => {
    if (error !== stopping.signal.reason) throw error
  })
  const stop = async (): Promise<void> => {
    stopping.abort()
    await ended
  }
  t.teardown(stop)
  return { clock, tidying, count: () => ways.length, ways, stop }
}

test('it is tidied once after work, in the first pause, and not without work', async (t) => {
  const { clock, tidying, count } = start(t)
  await clock.advance(3_600_000)
  t.is(count(), 0)
  for (let work = 0; work < 10; work += 1) {
    tidying.note()
    await clock.advance(500)
  }
  t.is(count(), 0)
  await clock.advance(1_500)
  t.is(count(), 1)
  await clock.advance(3_600_000)
  t.is(count(), 1)
  tidying.note()
  await clock.advance(2_000)
  t.is(count(), 2)
})

test('where there is no pause it is tidied all the same, now and then', async (t) => {
  const { clock, tidying, count } = start(t)
  for (let work = 0; work < 61; work += 1) {
    tidying.note()
    await clock.advance(1_000)
  }
  t.is(count(), 2)
})

test('in the midst of much work it is tidied quickly now and then, and thoroughly in the pause behind it', async (t) => {
  const { clock, tidying, ways } = start(t)
  for (let work = 0; work < 200; work += 1) {
    tidying.note()
    await clock.advance(1)
  }
  t.deepEqual(ways, ['quickly', 'quickly', 'quickly', 'quickly'])
  await clock.advance(3_600_000)
  t.deepEqual(ways.slice(4), ['thoroughly'])
})

test('told to stop, it does not tidy any more', async (t) => {
  const { clock, tidying, count, stop } = start(t)
  tidying.note()
  await clock.advance(1_000)
  await stop()
  await clock.advance(10_000)
  t.is(count(), 0)
})
