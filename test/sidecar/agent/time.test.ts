import test from 'ava'
import { parsePlan } from '../../../src/injection/parse.ts'
import { Denials } from '../../../src/sidecar/agent/denials.ts'
import { referencesOf } from '../../../src/sidecar/agent/references.ts'
import { Staleness } from '../../../src/sidecar/agent/staleness.ts'
import { Journal } from '../../../src/sidecar/journal.ts'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../../src/sidecar/state-directory.ts'
import { temporaryDirectory } from '../../support/publishing.ts'

const plan = parsePlan(`
- { secret: a, key: k, path: /srv/a/k, grace: 10s }
- { secret: b, key: k, path: /srv/b/k }
- { secret: c, key: k, path: /srv/c/k, onDenied: keep }
`)

/** A machine whose two clocks a test moves, and processes that start on it. */
const machine = (root: string) => {
  const time = { monotonic: 0, boot: 1_000_000 }
  const directory = new StateDirectory({ root, path: '/state' }, systemFileOperations)
  const clock = { monotonicMs: () => time.monotonic }
  const bootMs = (): number => time.boot
  return {
    pass: (ms: number) => {
      time.monotonic += ms
      time.boot += ms
    },
    /** Another process: its monotonic clock starts anew. */
    restart: (ms: number) => {
      time.monotonic = 5
      time.boot += ms
    },
    reboot: () => {
      time.boot = 0
    },
    denials: () => new Denials(plan, { journal: Journal.open(directory, 'plan'), clock, bootMs }),
    staleness: () => new Staleness({ directory, clock, bootMs }),
  }
}

test('a grace ends when its time has passed, and is told once', (t) => {
  const it = machine(temporaryDirectory(t))
  const denials = it.denials()
  denials.note(new Set([0, 1]))
  t.false(denials.isOver(0))
  t.true(denials.isOver(1))
  t.true(denials.takeExpired())
  t.false(denials.takeExpired())
  t.is(denials.nextDue(), 10_000)
  it.pass(9999)
  denials.note(new Set([0, 1]))
  t.false(denials.isOver(0))
  it.pass(1)
  t.true(denials.isOver(0))
  t.true(denials.takeExpired())
  t.is(denials.nextDue(), undefined)
})

test('a grant in between starts the grace anew', (t) => {
  const it = machine(temporaryDirectory(t))
  const denials = it.denials()
  denials.note(new Set([0]))
  it.pass(9000)
  denials.note(new Set())
  denials.note(new Set([0]))
  it.pass(9000)
  t.false(denials.isOver(0))
})

test('a restart neither lengthens a grace nor forgets it', (t) => {
  const it = machine(temporaryDirectory(t))
  it.denials().note(new Set([0]))
  it.restart(6000)
  const later = it.denials()
  t.false(later.isOver(0))
  it.pass(4000)
  t.true(later.isOver(0))
  it.restart(1_000_000)
  t.true(it.denials().isOver(0))
})

test('a machine that started anew does not make a grace longer than it is', (t) => {
  const it = machine(temporaryDirectory(t))
  it.denials().note(new Set([0]))
  it.reboot()
  const later = it.denials()
  it.pass(10_000)
  t.true(later.isOver(0))
})

test('staleness is nothing while it is confirmed, and grows from the last confirmation', (t) => {
  const it = machine(temporaryDirectory(t))
  const staleness = it.staleness()
  staleness.confirm(0)
  it.pass(5000)
  t.is(staleness.ms, 0)
  staleness.disconnect()
  t.is(staleness.ms, 5000)
  it.pass(1000)
  t.is(staleness.ms, 6000)
  staleness.confirm(2000)
  it.pass(10)
  t.is(staleness.ms, 2010)
  staleness.confirm(0)
  t.is(staleness.ms, 0)
})

test('staleness goes on over a restart, and a jump back is no staleness', (t) => {
  const it = machine(temporaryDirectory(t))
  it.staleness().confirm(0)
  it.restart(7000)
  t.is(it.staleness().ms, 7000)
  it.reboot()
  t.is(it.staleness().ms, 0)
})

test('each secret is asked for once, with the keys that its entries need', (t) => {
  const many = Array.from({ length: 257 }, (_, i) => `{{ k${i} }}`).join('')
  t.deepEqual(
    referencesOf(
      parsePlan(
        JSON.stringify([
          { secret: 'a', key: 'x', path: '/srv/1/x' },
          { secret: 'b', key: 'x', path: '/srv/1/y' },
          { secret: 'a', template: '{{ y }}{{ x }}', path: '/srv/2/x' },
          { secret: 'b', path: '/srv/3/' },
          { secret: 'b', key: 'z', path: '/srv/4/z' },
          { secret: 'c', template: many, path: '/srv/5/c' },
        ]),
      ),
    ),
    [
      { secret: 'a', keys: ['x', 'y'] },
      { secret: 'b', keys: [] },
      { secret: 'c', keys: [] },
    ],
  )
})
