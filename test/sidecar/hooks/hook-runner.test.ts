import test from 'ava'
import type { ExecutionContext } from 'ava'
import { systemClock } from '../../../src/base/clock.ts'
import { parsePlan } from '../../../src/injection/parse.ts'
import { HookRunner } from '../../../src/sidecar/hooks/hook-runner.ts'
import type { PerformHook } from '../../../src/sidecar/hooks/hook-runner.ts'
import { Journal } from '../../../src/sidecar/journal.ts'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../../src/sidecar/state-directory.ts'
import { temporaryDirectory } from '../../support/publishing.ts'
import { until } from '../../support/sidecar.ts'

const plan = parsePlan(`
- { secret: a, key: k, path: /srv/a/k, onChange: { http: "http://127.0.0.1:1/one" } }
- { secret: b, key: k, path: /srv/b/k, onChange: { http: "http://127.0.0.1:1/one" } }
- { secret: c, key: k, path: /srv/c/k, onChange: { http: "http://127.0.0.1:1/two" } }
- { secret: d, key: k, path: /srv/d/k }
`)

const journalIn = (root: string): Journal =>
  Journal.open(new StateDirectory({ root, path: '/state' }, systemFileOperations), 'plan')

const runnerOf = (
  t: ExecutionContext,
  journal: Journal,
  perform: PerformHook,
): { runner: HookRunner; outcomes: string[]; stop: AbortController } => {
  const outcomes: string[] = []
  const stop = new AbortController()
  t.teardown(() => {
    stop.abort()
  })
  const runner = new HookRunner(plan, {
    journal,
    perform,
    clock: systemClock,
    random: () => 0,
    onOutcome: (hook, error) => {
      outcomes.push(`${hook.kind} ${error === undefined ? 'ok' : 'failed'}`)
    },
    onRound: () => undefined,
  })
  return { runner, outcomes, stop }
}

test('equal hooks run once for all their entries, others each', async (t) => {
  const journal = journalIn(temporaryDirectory(t))
  journal.markHooks([0, 1, 2])
  const called: string[] = []
  const { runner } = runnerOf(t, journal, async (hook) => {
    called.push(hook.kind === 'http' ? hook.url : '')
  })
  t.true(await runner.runDue(new AbortController().signal))
  t.deepEqual(called, ['http://127.0.0.1:1/one', 'http://127.0.0.1:1/two'])
  t.deepEqual(journal.state.pendingHooks, [])
})

test('a hook that fails is run again until it succeeds, the others are not', async (t) => {
  const journal = journalIn(temporaryDirectory(t))
  journal.markHooks([0, 2])
  let failures = 0
  const { runner, outcomes, stop } = runnerOf(t, journal, async (_, entry) => {
    if (entry.secret === 'a' && failures < 2) {
      failures += 1
      throw new Error('not yet')
    }
  })
  const running = runner.run(stop.signal)
  await until(() => runner.failing, 'a failure')
  t.deepEqual(journal.state.pendingHooks, [0])
  await until(() => journal.state.pendingHooks.length === 0, 'success')
  await until(() => !runner.failing, 'no longer failing')
  t.deepEqual(outcomes, ['http failed', 'http ok', 'http failed', 'http ok'])
  stop.abort(new Error('stopping'))
  await t.throwsAsync(running, { message: 'stopping' })
})

test('a change while its hook runs makes the hook due again', async (t) => {
  const journal = journalIn(temporaryDirectory(t))
  journal.markHooks([0])
  let calls = 0
  const { runner } = runnerOf(t, journal, async () => {
    calls += 1
    if (calls === 1) journal.markHooks([0])
  })
  const { signal } = new AbortController()
  await runner.runDue(signal)
  t.deepEqual(journal.state.pendingHooks, [0])
  await runner.runDue(signal)
  t.deepEqual(journal.state.pendingHooks, [])
  t.is(calls, 2)
})

test('what is due outlives the process', async (t) => {
  const root = temporaryDirectory(t)
  journalIn(root).markHooks([2])
  const called: string[] = []
  const journal = journalIn(root)
  const { runner, stop } = runnerOf(t, journal, async (_, entry) => {
    called.push(entry.secret)
  })
  void runner.run(stop.signal).catch(() => undefined)
  await until(() => journal.state.pendingHooks.length === 0, 'success')
  t.deepEqual(called, ['c'])
})

test('a wake reaches a runner that waits', async (t) => {
  const journal = journalIn(temporaryDirectory(t))
  const called: string[] = []
  const { runner, stop } = runnerOf(t, journal, async (_, entry) => {
    called.push(entry.secret)
  })
  void runner.run(stop.signal).catch(() => undefined)
  journal.markHooks([0])
  runner.wake()
  await until(() => called.length === 1, 'the hook')
  journal.markHooks([2])
  runner.wake()
  await until(() => called.length === 2, 'the other hook')
  t.deepEqual(called, ['a', 'c'])
})
