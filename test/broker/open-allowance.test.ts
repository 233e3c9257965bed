import test from 'ava'
import { OpenAllowance } from '../../src/broker/open-allowance.ts'

/** How many of `count` opens are let in, `apartMs` after each other. */
function letIn(options: { readonly count: number; readonly apartMs: number }): number {
  let now = 5_000
  const allowance = new OpenAllowance({ monotonicMs: () => now })
  let count = 0
  for (let index = 0; index < options.count; index += 1) {
    if (allowance.spend('pod own')) count += 1
    now += options.apartMs
  }
  return count
}

test('a sidecar that starts again a few times at once, or for ever four times a second, is let in', (t) => {
  t.is(letIn({ count: 10, apartMs: 0 }), 10)
  t.is(letIn({ count: 5_000, apartMs: 250 }), 5_000)
})

test('a flood is let in four times a second', (t) => {
  t.is(letIn({ count: 1_000, apartMs: 0 }), 10)
  t.is(letIn({ count: 10_000, apartMs: 1 }), 10 + 39)
})

test('time forgives, and no more than was forgiven', (t) => {
  let now = 5_000
  const allowance = new OpenAllowance({ monotonicMs: () => now })
  const spendAll = (): number => {
    let count = 0
    while (allowance.spend('pod own')) count += 1
    return count
  }
  t.is(spendAll(), 10)
  now += 500
  t.is(spendAll(), 2)
  now += 3_600_000
  t.is(spendAll(), 10)
})

test('one origin does not use up what another has, and inventing them costs no memory', (t) => {
  const allowance = new OpenAllowance({ monotonicMs: () => 5_000 })
  for (let count = 0; count < 10; count += 1) t.true(allowance.spend('pod other'))
  t.false(allowance.spend('pod other'))
  t.true(allowance.spend('pod own'))
  for (let count = 0; count < 4_096; count += 1) t.true(allowance.spend(`invented ${count}`))
  t.true(allowance.spend('pod other'), 'forgotten')
})
