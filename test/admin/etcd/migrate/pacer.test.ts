import test from 'ava'
import { createPacer, type Outcome, type Pacer } from '../../../../src/admin/etcd/migrate/pacer.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const signal = new AbortController().signal

/** Fills the pacer again and again; each request ends after `latencyMs` with `outcome`. */
async function load(
  pacer: Pacer,
  clock: ManualClock,
  options: { readonly rounds: number; readonly latencyMs: number; readonly outcome?: Outcome },
): Promise<void> {
  for (let round = 0; round < options.rounds; round += 1) {
    const ends: ((outcome: Outcome) => void)[] = []
    while (pacer.inFlight < pacer.limit) ends.push(await pacer.enter())
    await clock.advance(options.latencyMs)
    for (const end of ends) end(options.outcome ?? 'answered')
  }
}

test('quick answers let it grow to its bound, slow ones shrink it, and it never stands still', async (t) => {
  const clock = new ManualClock()
  const pacer = createPacer({ workers: 64, rate: undefined, clock, signal })
  t.is(pacer.limit, 8)
  await load(pacer, clock, { rounds: 20, latencyMs: 5 })
  t.is(pacer.limit, 64)
  await load(pacer, clock, { rounds: 10, latencyMs: 500 })
  t.true(pacer.limit < 32)
  await load(pacer, clock, { rounds: 400, latencyMs: 500 })
  t.true(pacer.limit >= 1)
  const low = pacer.limit
  await load(pacer, clock, { rounds: 200, latencyMs: 5 })
  t.true(pacer.limit > low)
})

test('what was always slow, as a server far away is, is no reason to send less', async (t) => {
  const clock = new ManualClock()
  const pacer = createPacer({ workers: 64, rate: undefined, clock, signal })
  await load(pacer, clock, { rounds: 20, latencyMs: 90 })
  t.is(pacer.limit, 64)
})

test('429 halves it, once for all requests that were on the wire together', async (t) => {
  const clock = new ManualClock()
  const pacer = createPacer({ workers: 64, rate: undefined, clock, signal })
  await load(pacer, clock, { rounds: 20, latencyMs: 5 })
  await load(pacer, clock, { rounds: 1, latencyMs: 5, outcome: 'throttled' })
  t.is(pacer.limit, 32)
  await load(pacer, clock, { rounds: 20, latencyMs: 5, outcome: 'throttled' })
  t.is(pacer.limit, 1)
})

test('a rate is kept, whatever the number of workers', async (t) => {
  const clock = new ManualClock()
  const pacer = createPacer({ workers: 64, rate: 10, clock, signal })
  let sent = 0
  const work = async (): Promise<void> => {
    for (;;) {
      const end = await pacer.enter()
      sent += 1
      end('answered')
    }
  }
  for (let worker = 0; worker < 5; worker += 1) void work()
  await clock.advance(3_000)
  t.true(sent >= 29 && sent <= 32, `${sent} in three seconds`)
})

test('who waits is let go when it is aborted', async (t) => {
  const stop = new AbortController()
  const pacer = createPacer({
    workers: 1,
    rate: undefined,
    clock: new ManualClock(),
    signal: stop.signal,
  })
  await pacer.enter()
  const second = pacer.enter()
  stop.abort(new RangeError('enough'))
  await t.throwsAsync(second, { instanceOf: RangeError })
})
