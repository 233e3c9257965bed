import test from 'ava'
import { Health } from '../../src/observe/health.ts'

test('ready until something is failing, and again when it is taken back', (t) => {
  const health = new Health()
  t.true(health.ready)
  health.report({ name: 'a', severity: 'degraded', reason: 'slow' })
  t.true(health.ready)
  health.report({ name: 'b', severity: 'failing', reason: 'gone' })
  t.false(health.ready)
  t.deepEqual(
    health.findings.map(({ name }) => name),
    ['b', 'a'],
  )
  health.report({ name: 'b', severity: 'degraded', reason: 'half gone' })
  t.true(health.ready)
  health.clear('b')
  health.clear('never there')
  t.false(health.has('b'))
  t.true(health.has('a'))
})
