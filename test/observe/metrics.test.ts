import test from 'ava'
import { createMetrics } from '../../src/observe/metrics.ts'

test('two sets of metrics do not share names or counts', async (t) => {
  const [one, other] = [createMetrics(), createMetrics()]
  one.counter({ name: 'same_total', help: 'Same.' }).inc(5)
  other.counter({ name: 'same_total', help: 'Same.' }).inc(1)
  t.regex((await one.expose()).text, /^same_total 5$/m)
  t.regex((await other.expose()).text, /^same_total 1$/m)
})

test('a name is defined once', (t) => {
  const metrics = createMetrics()
  metrics.gauge({ name: 'g', help: 'G.' })
  t.throws(() => metrics.gauge({ name: 'g', help: 'G.' }), { message: /already been registered/ })
})

test('histograms have the buckets asked for', async (t) => {
  const metrics = createMetrics()
  metrics.histogram({ name: 'h_seconds', help: 'H.', buckets: [0.1, 1] }).observe(0.5)
  const { text } = await metrics.expose()
  t.regex(text, /^h_seconds_bucket\{le="0\.1"\} 0$/m)
  t.regex(text, /^h_seconds_bucket\{le="1"\} 1$/m)
  t.regex(text, /^h_seconds_bucket\{le="\+Inf"\} 1$/m)
})

test('a gauge may be set when it is read', async (t) => {
  const metrics = createMetrics()
  let value = 1
  metrics.gauge({
    name: 'g',
    help: 'G.',
    collect: (gauge) => {
      gauge.set(value)
    },
  })
  t.regex((await metrics.expose()).text, /^g 1$/m)
  value = 2
  t.regex((await metrics.expose()).text, /^g 2$/m)
})

test('process metrics come when asked for', async (t) => {
  const metrics = createMetrics()
  t.deepEqual(metrics.list(), [])
  metrics.addProcessMetrics()
  const { text } = await metrics.expose()
  t.regex(text, /^process_cpu_seconds_total [0-9.e-]+$/m)
  t.regex(text, /^process_resident_memory_bytes [0-9]+$/m)
  t.regex(text, /^process_start_time_seconds [0-9]+$/m)
})
