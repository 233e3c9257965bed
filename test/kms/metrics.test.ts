import { status } from '@grpc/grpc-js'
import test from 'ava'
import { sha256Label } from '../../src/base/bytes.ts'
import { systemClock } from '../../src/base/clock.ts'
import { turnedAwayReasons } from '../../src/net/grpc-connections.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { KmsHealth } from '../../src/kms/findings.ts'
import { createKmsMetrics } from '../../src/kms/metrics.ts'
import { unknownKeyKinds } from '../../src/kms/service.ts'
import { fullKeyring } from '../support/kms-keyring.ts'
import { metricsTableFits } from '../support/metrics-table.ts'

function create() {
  const registry = createMetrics()
  const health = new KmsHealth({ strict: false, clock: systemClock })
  const metrics = createKmsMetrics(registry, {
    version: '1.2.3',
    health,
    inFlight: () => 7,
    now: () => 1_000_000,
  })
  return { registry, health, metrics, text: async () => (await registry.expose()).text }
}

test('the table in METRICS.md is what the program has: names, kinds, labels and meanings', async (t) => {
  const { table } = await metricsTableFits(t, 'kms', create().registry)
  for (const word of [...turnedAwayReasons, ...unknownKeyKinds])
    t.true(table.includes(`\`${word}\``))
})

test('keys are shown by the hash that the API server shows, destroyed ones are not', async (t) => {
  const keyring = await fullKeyring(t)
  const { metrics, text } = create()
  const [destroyed, , superseded, active] = keyring.keys.map(({ id }) => sha256Label(id))
  metrics.snapshot({ keyring, unusable: new Set([keyring.keys[2]?.id ?? '']) })
  const shown = await text()
  t.true(shown.includes(`latchkey_kms_key_info{key_id_hash="${active ?? ''}",state="active"} 1`))
  t.true(shown.includes(`latchkey_kms_key_usable{key_id_hash="${active ?? ''}"} 1`))
  t.true(shown.includes(`latchkey_kms_key_usable{key_id_hash="${superseded ?? ''}"} 0`))
  t.false(shown.includes(destroyed ?? ''))
  t.is([...shown.matchAll(/^latchkey_kms_key_info/gm)].length, 4)
  for (const { id } of keyring.keys) t.false(shown.includes(id), 'no key id in clear')
  const since = Date.parse(keyring.active.changedAt) / 1000
  t.true(shown.includes(`latchkey_kms_active_key_timestamp_seconds ${since}`))
  metrics.snapshot(undefined)
  t.notRegex(await text(), /^latchkey_kms_key_info/m)
  t.regex(await text(), /^latchkey_kms_active_key_timestamp_seconds 0$/m)
})

test('calls are counted by name of their status', async (t) => {
  const { metrics, text } = create()
  const count = metrics.requests({ service: 'v2', method: 'Decrypt' })
  count({ code: status.OK, seconds: 0.0001 })
  count({ code: status.NOT_FOUND, seconds: 0.0001 })
  count({ code: status.NOT_FOUND, seconds: 0.0001 })
  const shown = await text()
  t.regex(shown, /requests_total\{service="v2",method="Decrypt",code="OK"\} 1/)
  t.regex(shown, /requests_total\{service="v2",method="Decrypt",code="NOT_FOUND"\} 2/)
  t.regex(shown, /duration_seconds_count\{service="v2",method="Decrypt"\} 3/)
  t.regex(shown, /^latchkey_kms_requests_in_flight 7$/m)
})

test('findings are shown as long as they last', async (t) => {
  const { health, text } = create()
  health.set('other-key', true)
  health.set('active-key', true)
  t.regex(await text(), /finding\{name="active-key",severity="failing"\} 1/)
  t.regex(await text(), /finding\{name="other-key",severity="degraded"\} 1/)
  health.set('active-key', false)
  t.notRegex(await text(), /active-key/)
})
