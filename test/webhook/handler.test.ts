import test from 'ava'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { AuditEvent, AuditSink } from '../../src/observe/audit.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { answerReview } from '../../src/webhook/handler.ts'
import { createWebhookMetrics } from '../../src/webhook/metrics.ts'
import { admissionDeps, podWith, reviewBody } from '../support/admission.ts'

interface Ground {
  readonly ask: (
    request: Parameters<typeof reviewBody>[0],
  ) => Promise<{ allowed: boolean; status?: { message: string }; patch?: string }>
  readonly admitted: AuditEvent[]
  readonly noted: AuditEvent[]
  readonly metrics: () => Promise<string>
}

function ground(audit: Partial<AuditSink> = {}): Ground {
  const [admitted, noted]: [AuditEvent[], AuditEvent[]] = [[], []]
  const registry = createMetrics()
  const deps = {
    admission: admissionDeps,
    audit: {
      admit: async (event: AuditEvent) => void admitted.push(event),
      note: (event: AuditEvent) => void noted.push(event),
      healthy: true,
      close: async () => undefined,
      ...audit,
    },
    metrics: createWebhookMetrics(registry, { version: '0', inFlight: () => 0 }),
    log: silentLog,
    clock: systemClock,
  }
  return {
    ask: async (request) => {
      const text = await answerReview(reviewBody(request), deps)
      return (JSON.parse(text) as { response: Awaited<ReturnType<Ground['ask']>> }).response
    },
    admitted,
    noted,
    metrics: async () => (await registry.expose()).text,
  }
}

const list = `- { secret: db, key: password, path: /etc/db/p }
- { secret: tls, path: /etc/tls/ }
- { secret: db, path: /etc/x/f, template: "{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ f }}{{ g }}{{ h }}{{ i }}" }
`

test('an injection is written down before it is answered: who, for whom, what, which plan', async (t) => {
  const { ask, admitted, noted } = ground()
  t.true((await ask({ object: podWith(list) })).allowed)
  t.is(noted.length, 0)
  const [event] = admitted
  t.regex(event?.plan ?? '', /^sha256:/)
  t.deepEqual(admitted, [
    {
      event: 'pod.injected',
      outcome: 'allowed',
      who: { namespace: 'shop', account: 'web', pod: 'web-' },
      requester: 'jane',
      what: [
        { secret: 'db', keys: ['password'] },
        { secret: 'tls', keys: [] },
        { secret: 'db', keys: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'], moreKeys: 1 },
      ],
      plan: event?.plan ?? '',
      detail: 'create',
    },
  ])
})

test('a refusal is written down with its code', async (t) => {
  const { ask, noted } = ground()
  t.false((await ask({ object: podWith('- {}') })).allowed)
  t.like(noted[0], { event: 'pod.refused', outcome: 'denied', why: 'ERR_PLAN_INVALID' })
  await ask({
    resource: 'deployments',
    object: { spec: { template: { metadata: { annotations: { 'latchkey.dev/secrets': '' } } } } },
  })
  t.like(noted[1], { event: 'workload.refused', outcome: 'denied' })
})

test('what is only tried is written down as such, and waits for nothing', async (t) => {
  const { ask, admitted, noted } = ground()
  t.true((await ask({ object: podWith(list), dryRun: true })).allowed)
  t.is(admitted.length, 0)
  t.like(noted[0], { event: 'pod.injected', detail: 'create dry-run' })
})

test('a workload that is all right is not written down: its pods are', async (t) => {
  const { ask, admitted, noted } = ground()
  const annotations = { 'latchkey.dev/secrets': list }
  const template = { metadata: { annotations }, spec: { containers: [{ name: 'app' }] } }
  t.true((await ask({ resource: 'jobs', object: { spec: { template } } })).allowed)
  t.deepEqual([...admitted, ...noted], [])
})

test('an injection that cannot be written down does not happen', async (t) => {
  const { ask, metrics } = ground({
    admit: () => Promise.reject(new LatchkeyError('ERR_AUDIT_UNAVAILABLE', 'disk full')),
  })
  const answer = await ask({ object: podWith(list) })
  t.false(answer.allowed)
  t.is(answer.status?.message, "Latchkey's audit cannot be written now; try again later")
  t.is(answer.patch, undefined)
  t.regex(await metrics(), /admissions_total\{kind="pod",outcome="refused",dry_run="false"\} 1/)
})

test('decisions are counted and timed', async (t) => {
  const { ask, metrics } = ground()
  await ask({ object: podWith(list) })
  await ask({ object: podWith(list), dryRun: true })
  await ask({ object: podWith('x') })
  const text = await metrics()
  t.regex(text, /admissions_total\{kind="pod",outcome="injected",dry_run="false"\} 1/)
  t.regex(text, /admissions_total\{kind="pod",outcome="injected",dry_run="true"\} 1/)
  t.regex(text, /admissions_total\{kind="pod",outcome="refused",dry_run="false"\} 1/)
  t.regex(text, /admission_duration_seconds_count\{kind="pod"\} 3/)
})
