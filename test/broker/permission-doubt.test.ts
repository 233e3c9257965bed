import test from 'ava'
import { openPermission } from '../support/permission.ts'

test('a no that no event explains takes nothing away until it has held for fifteen seconds', async (t) => {
  for (const missed of [false, true]) {
    const subject = openPermission(t, true)
    await subject.clock.advance(1_000)
    // An event long before is no explanation either.
    subject.permission.disturb(true)
    await subject.clock.advance(9_000)
    subject.answer = false
    if (missed) subject.permission.disturb(false)
    else await subject.clock.advance(30_000)
    await subject.clock.advance(6_000)
    t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: false })
    subject.answer = true
    await subject.clock.advance(2_000)
    t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: true })
    t.deepEqual(subject.decisions, [['allowed', 0]])
    subject.answer = false
    const before = subject.clock.monotonicMs()
    if (missed) subject.permission.disturb(false)
    else await subject.clock.advance(36_000)
    await subject.clock.advance(15_100)
    t.is(subject.decisions.at(-1)?.[0], 'revoked')
    t.true(subject.clock.monotonicMs() - before < 60_000)
  }
})

test('a no that is ahead of its event is explained by it', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  subject.answer = false
  await subject.clock.advance(20_000)
  t.is(subject.asked.at(-1), 30_000)
  await subject.clock.advance(300)
  subject.permission.disturb(true)
  await subject.clock.advance(1_700)
  t.deepEqual(subject.decisions.at(-1)?.[0], 'revoked')
})

test('while the authorizer is in trouble, an event explains nothing', async (t) => {
  const subject = openPermission(t, true)
  await subject.clock.advance(10_000)
  subject.troubledMsAgo = 3_000
  subject.answer = false
  subject.permission.disturb(true)
  await subject.clock.advance(6_000)
  t.deepEqual(subject.permission.view, { decision: 'allowed', trusted: false })
  // Once that is over, what the event explained counts as before.
  subject.troubledMsAgo = 15_000
  await subject.clock.advance(2_050)
  t.deepEqual(subject.permission.view, { decision: 'denied' })
})

test('while the authorizer is in trouble, not even a newcomer is denied soon', async (t) => {
  const subject = openPermission(t, false)
  subject.troubledMsAgo = 3_000
  await subject.clock.advance(10_000)
  t.deepEqual(subject.permission.view, { decision: 'unknown' })
  subject.answer = true
  await subject.clock.advance(2_000)
  t.deepEqual(
    subject.decisions.map(([decision]) => decision),
    ['allowed'],
  )
})

test('a value is covered at once while all is quiet, and otherwise by an answer that knows of all before it', async (t) => {
  const subject = openPermission(t, true)
  const now = (): number => subject.clock.monotonicMs()
  await subject.clock.advance(10_000)
  t.true(subject.permission.covers(now()))
  subject.permission.disturb(true)
  await subject.clock.advance(10)
  const cameAtMs = now()
  t.false(subject.permission.covers(cameAtMs))
  // Asked after it came, but no later after the event than the authorizer may lag.
  await subject.clock.advance(200)
  t.false(subject.permission.covers(cameAtMs))
  await subject.clock.advance(50)
  t.true(subject.permission.covers(cameAtMs))
  // Further events are not its concern.
  subject.permission.disturb(true)
  t.true(subject.permission.covers(cameAtMs))
  await subject.clock.advance(20_000)
  subject.watchStaleMs = 1
  t.false(subject.permission.covers(now()))
  await subject.clock.advance(50)
  t.true(subject.permission.covers(now() - 50))
})
