import { status } from '@grpc/grpc-js'
import { sha256Label } from '../base/bytes.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { turnedAwayReasons, type TurnedAway } from '../net/grpc-connections.ts'
import type { KmsHealth } from './findings.ts'
import { unknownKeyKinds, type UnknownKeyKind } from './service.ts'
import type { Snapshot } from './snapshot.ts'

/** A method of one of the two KMS services. */
export interface MethodName {
  readonly service: 'v2' | 'v1beta1'
  readonly method: 'Status' | 'Version' | 'Encrypt' | 'Decrypt'
}

/** What the plugin counts. `METRICS.md` beside this file describes each metric. */
export interface KmsMetrics {
  /** Returns how to count the calls of one method. */
  readonly requests: (
    name: MethodName,
  ) => (call: { readonly code: status; readonly seconds: number }) => void
  readonly snapshot: (snapshot: Snapshot | undefined) => void
  readonly selfTested: (failed: number) => void
  /** One look at the store. */
  readonly reloaded: (result: 'loaded' | 'unchanged' | ErrorCode | 'ERR_UNKNOWN') => void
  /** The shared store has noted that this node serves `generation`. */
  readonly acknowledged: (generation: number) => void
  readonly retiredKeyUsed: (keyId: string) => void
  readonly unknownKey: (kind: UnknownKeyKind) => void
  readonly connections: (open: number) => void
  readonly turnedAway: (reason: TurnedAway) => void
  readonly draining: () => void
}

const buckets = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1]

/** Defines the plugin's metrics in `metrics`. */
export function createKmsMetrics(
  metrics: Metrics,
  options: {
    readonly version: string
    readonly health: KmsHealth
    readonly inFlight: () => number
    /** Wall time in milliseconds since 1970. */
    readonly now: () => number
  },
): KmsMetrics {
  const seconds = (): number => options.now() / 1000
  metrics
    .gauge({
      name: 'latchkey_kms_build_info',
      help: 'Always 1; the label is the version of the plugin.',
      labels: ['version'],
    })
    .set({ version: options.version }, 1)
  const requests = metrics.counter({
    name: 'latchkey_kms_requests_total',
    help: 'Calls that were answered, by gRPC status.',
    labels: ['service', 'method', 'code'],
  })
  const duration = metrics.histogram({
    name: 'latchkey_kms_request_duration_seconds',
    help: 'Time from a whole request to its answer.',
    labels: ['service', 'method'],
    buckets,
  })
  metrics.gauge({
    name: 'latchkey_kms_requests_in_flight',
    help: 'Calls that are being received or answered.',
    collect: (gauge) => {
      gauge.set(options.inFlight())
    },
  })
  const keys = metrics.gauge({
    name: 'latchkey_kms_key_info',
    help: 'Always 1; one series for each key that is not destroyed.',
    labels: ['key_id_hash', 'state'],
  })
  const usable = metrics.gauge({
    name: 'latchkey_kms_key_usable',
    help: 'Whether the key passed its last self-test.',
    labels: ['key_id_hash'],
  })
  const activeSince = metrics.gauge({
    name: 'latchkey_kms_active_key_timestamp_seconds',
    help: 'When the active key became active, seconds since 1970; 0 when there is none.',
  })
  const generation = metrics.gauge({
    name: 'latchkey_kms_keyring_generation',
    help: 'Generation of the keyring being served, 0 when there is none.',
  })
  const loadedAt = metrics.gauge({
    name: 'latchkey_kms_keyring_loaded_timestamp_seconds',
    help: 'When the keyring being served was loaded, seconds since 1970.',
  })
  const reloads = metrics.counter({
    name: 'latchkey_kms_keyring_reloads_total',
    help: 'Looks at the store, by result: loaded, unchanged or the code of the error.',
    labels: ['result'],
  })
  const checkedAt = metrics.gauge({
    name: 'latchkey_kms_keyring_checked_timestamp_seconds',
    help: 'When the store was last found to hold the keyring being served, seconds since 1970.',
  })
  const acknowledged = metrics.gauge({
    name: 'latchkey_kms_acknowledged_generation',
    help: 'Generation that the shared store has noted this node to serve, 0 when none or not shared.',
  })
  const selfTests = metrics.counter({
    name: 'latchkey_kms_self_tests_total',
    help: 'Self-tests of all keys, by result.',
    labels: ['result'],
  })
  const retired = metrics.counter({
    name: 'latchkey_kms_retired_key_decrypts_total',
    help: 'Decrypts that needed a retired key.',
    labels: ['key_id_hash'],
  })
  const unknown = metrics.counter({
    name: 'latchkey_kms_unknown_key_decrypts_total',
    help: 'Decrypts that named a key which the keyring never had.',
    labels: ['kind'],
  })
  const open = metrics.gauge({
    name: 'latchkey_kms_connections',
    help: 'Open connections.',
  })
  const away = metrics.counter({
    name: 'latchkey_kms_turned_away_total',
    help: 'Connections that were cut and requests that were refused, by reason.',
    labels: ['reason'],
  })
  const draining = metrics.gauge({
    name: 'latchkey_kms_draining',
    help: 'Whether the plugin is stopping.',
  })
  metrics.gauge({
    name: 'latchkey_kms_finding',
    help: 'Always 1; one series for each thing that is not as it should be.',
    labels: ['name', 'severity'],
    collect: (gauge) => {
      gauge.reset()
      for (const { name, severity } of options.health.findings) gauge.set({ name, severity }, 1)
    },
  })
  for (const result of ['ok', 'failed']) selfTests.inc({ result }, 0)
  for (const kind of unknownKeyKinds) unknown.inc({ kind }, 0)
  for (const reason of turnedAwayReasons) away.inc({ reason }, 0)
  return {
    requests: (name) => {
      const times = duration.labels(name)
      const counts = new Map<status, ReturnType<typeof requests.labels>>()
      const countOf = (code: status): ReturnType<typeof requests.labels> => {
        const known = counts.get(code)
        if (known !== undefined) return known
        const fresh = requests.labels({ ...name, code: status[code] })
        counts.set(code, fresh)
        return fresh
      }
      countOf(status.OK).inc(0)
      return (call) => {
        countOf(call.code).inc()
        times.observe(call.seconds)
      }
    },
    snapshot: (snapshot) => {
      keys.reset()
      usable.reset()
      generation.set(snapshot?.keyring.generation ?? 0)
      const since = snapshot?.keyring.active.changedAt
      activeSince.set(since === undefined ? 0 : Date.parse(since) / 1000)
      for (const { id, state } of snapshot?.keyring.keys ?? []) {
        if (state === 'destroyed') continue
        const hash = sha256Label(id)
        keys.set({ key_id_hash: hash, state }, 1)
        usable.set({ key_id_hash: hash }, snapshot?.unusable.has(id) === true ? 0 : 1)
      }
    },
    selfTested: (failed) => {
      selfTests.inc({ result: failed === 0 ? 'ok' : 'failed' })
    },
    reloaded: (result) => {
      reloads.inc({ result })
      if (result === 'loaded') loadedAt.set(seconds())
      if (result === 'loaded' || result === 'unchanged') checkedAt.set(seconds())
    },
    acknowledged: (noted) => {
      acknowledged.set(noted)
    },
    retiredKeyUsed: (keyId) => {
      retired.inc({ key_id_hash: sha256Label(keyId) })
    },
    unknownKey: (kind) => {
      unknown.inc({ kind })
    },
    connections: (count) => {
      open.set(count)
    },
    turnedAway: (reason) => {
      away.inc({ reason })
    },
    draining: () => {
      draining.set(1)
    },
  }
}
