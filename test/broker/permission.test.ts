import test from 'ava'
import fc from 'fast-check'
import { account, openPermission } from '../support/permission.ts'

test('yes takes effect at once', async (t) => {
  const subject = openPermission(t, true)
  t.deepEqual(subject.permission.view, { decision: 'unknown' })
  t.is(subject.permission.staleMs(), Infinity)
  await subject.clock.advance(0)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: true })
  t.deepEqual(subject.asked, [0])
  t.is(subject.permission.staleMs(), 0)
})

test('no, where nothing was decided, takes two answers half a second apart', async (t) => {
  const subject = openPermission(t, false)
  await subject.clock.advance(499)
  t.deepEqual(subject.permission.view, { decision: 'unknown' })
  await subject.clock.advance(1)
  t.deepEqual(subject.decisions, [['denied', 500]])
  t.deepEqual(subject.asked, [0, 500])
})

test('one no between yeses changes nothing', async (t) => {
  const subject = openPermission(t, false)
  await subject.clock.advance(100)
  subject.answer = true
  await subject.clock.advance(10_000)
  t.deepEqual(subject.decisions, [['allowed', 500]])
})

test('a permission that goes is withdrawn after two seconds at most, whatever the authorizer’s lag', async (t) => {
  for (const lagMs of [0, 50, 240, 600, 900]) {
    const subject = openPermission(t, true)
    await subject.clock.advance(10_000)
    subject.permission.disturb(true)
    await subject.clock.advance(lagMs)
    subject.answer = false
    await subject.clock.advance(5_000)
    t.is(subject.decisions.length, 2)
    const [decision, at] = subject.decisions[1] ?? ['', 0]
    t.is(decision, 'revoked')
    t.true(at - 10_000 >= 1_500 && at - 10_000 <= 1_900, `${at}`)
    t.deepEqual(subject.permission.view, { decision: 'denied' })
  }
})

test('a binding that is deleted and made again within a second and a half takes nothing away', async (t) => {
  for (const goneMs of [10, 300, 700, 1_200, 1_450]) {
    const subject = openPermission(t, true)
    await subject.clock.advance(10_000)
    subject.answer = false
    subject.permission.disturb(true)
    await subject.clock.advance(goneMs)
    subject.permission.disturb(true)
    // The authorizer hears of it 200 ms later.
    await subject.clock.advance(200)
    subject.answer = true
    await subject.clock.advance(10_000)
    t.deepEqual(subject.decisions, [['allowed', 0]], `${goneMs}`)
    t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: true })
  }
})

test('events that go on and on do not put a withdrawal off', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  subject.answer = false
  subject.permission.disturb(true)
  for (let i = 0; i < 50; i += 1) {
    await subject.clock.advance(100)
    subject.permission.disturb(true)
  }
  const [, at] = subject.decisions[1] ?? ['', 0]
  t.true(at - 10_000 <= 1_950, `${at}`)
})

test('while a no is pending what is allowed is not trusted, and newcomers have to wait', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  t.true(subject.permission.demand(account, subject.clock.monotonicMs()))
  subject.answer = false
  subject.permission.disturb(true)
  await subject.clock.advance(10)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: false })
  t.true(subject.permission.staleMs() > 0)
  t.false(subject.permission.demand(account, subject.clock.monotonicMs()))
})

test('after an event questions are asked at 0, 0.25, 1 and 5 seconds, and nothing is used again before', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  subject.asked.length = 0
  subject.permission.disturb(true)
  await subject.clock.advance(5_400)
  t.deepEqual(
    subject.asked.map((at) => at - 10_000),
    [0, 250, 1_000, 5_000],
  )
  t.false(subject.permission.demand(account, subject.clock.monotonicMs()))
  await subject.clock.advance(200)
  t.true(subject.permission.demand(account, subject.clock.monotonicMs()))
})

test('a newcomer is served by an answer to a question asked after they came', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(0)
  subject.watchStaleMs = 5
  const since = subject.clock.monotonicMs() + 1
  await subject.clock.advance(1)
  t.false(subject.permission.demand(account, since))
  t.false(subject.permission.demand(account, since))
  await subject.clock.advance(50)
  t.true(subject.permission.demand(account, since))
  t.is(subject.asked.length, 2)
})

test('a thousand events in a second are no thousand questions', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  subject.asked.length = 0
  for (let i = 0; i < 1_000; i += 1) {
    await subject.clock.advance(1)
    subject.permission.disturb(true)
  }
  await subject.clock.advance(10_000)
  t.true(subject.asked.length <= 100, `${subject.asked.length}`)
  t.true((subject.asked.at(-1) ?? 0) >= 11_000 + 5_000)
})

test('no answer is no decision: what was decided stays, and is asked again soon', async (t) => {
  for (const before of [true, false]) {
    const subject = openPermission(t, before)
    await subject.clock.advance(10_000)
    const view = subject.permission.view
    subject.answer = 'none'
    subject.permission.disturb(true)
    await subject.clock.advance(60_000)
    t.is(subject.permission.view.decision, view.decision)
    t.true(subject.permission.staleMs() >= 59_000)
    const asked = subject.asked.length
    await subject.clock.advance(5_001)
    t.true(subject.asked.length > asked)
  }
})

test('without answers for long, nothing new is trusted', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(0)
  subject.answer = 'none'
  await subject.clock.advance(95_000)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: false })
  subject.answer = true
  await subject.clock.advance(5_001)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: true })
})

test('while nothing can be asked at first, nothing is known', async (t) => {
  const subject = openPermission(t, 'none')
  await subject.clock.advance(30_000)
  t.deepEqual(subject.permission.view, { decision: 'unknown' })
  subject.answer = false
  await subject.clock.advance(6_000)
  t.deepEqual(subject.permission.view, { decision: 'denied' })
})

test('changes that cause no event are seen within a minute', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(1_000)
  subject.watchStaleMs = 1_000
  subject.answer = false
  await subject.clock.advance(59_000)
  t.deepEqual(subject.permission.view, { decision: 'denied' })
  subject.answer = true
  await subject.clock.advance(40_000)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: true })
})

test('a grant takes effect with the event that tells of it', async (t) => {
  const subject = openPermission(t, false)
  await subject.clock.advance(10_000)
  subject.answer = true
  subject.permission.disturb(true)
  await subject.clock.advance(10)
  t.deepEqual(subject.decisions.at(-1), ['allowed', 10_000])
})

test('whatever happens: no denial after fewer than two noes half a second apart, no yes against a no', async (t) => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 2_000 }),
    answer: fc.constantFrom<boolean | 'none'>(true, false, 'none'),
    event: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const subject = openPermission(t, true)
      const answers: (readonly [number, boolean | 'none'])[] = []
      const start = subject.clock.monotonicMs()
      for (const { waitMs, answer, event } of steps) {
        const before = subject.asked.length
        await subject.clock.advance(waitMs)
        for (const at of subject.asked.slice(before)) answers.push([at, subject.answer])
        subject.answer = answer
        if (event) subject.permission.disturb(true)
      }
      for (const [decision, at] of subject.decisions) {
        const past = answers.filter(([asked, a]) => asked <= at && a !== 'none')
        const last = past.at(-1)?.[1]
        if (decision === 'allowed') {
          if (last === false) return false
          continue
        }
        const noes = past.slice(past.findLastIndex(([, a]) => a === true) + 1)
        if (noes.length < 2 || (noes.at(-1)?.[0] ?? 0) - (noes[0]?.[0] ?? 0) < 500) return false
      }
      return start > 0
    }),
    { numRuns: process.env['SLOW'] === undefined ? 60 : 2_000 },
  )
  t.pass()
})
