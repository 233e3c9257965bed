/** Series in promtool's notation, one sample a minute, by their names. */
type Series = Readonly<Record<string, string>>

/** When an alert fires, and a neighbouring state in which it does not. */
export interface AlertCase {
  readonly fires: Series
  /** Labels that the firing alert has from its series. */
  readonly labels: Readonly<Record<string, string>>
  readonly quiet: Series
  /** When it is looked at. Default `30m`. */
  readonly at?: string
}

const kms = 'latchkey_kms_'
const broker = 'latchkey_broker_'
const webhook = 'latchkey_webhook_'
const sidecar = 'latchkey_sidecar_'
const pod = 'namespace="shop",pod="web-1"'
const ofPod = { namespace: 'shop', pod: 'web-1' }
/** An hour of the same value. */
const always = (value: number): string => `${value}x60`

/** One for each alert, in the order of the files. */
export const alertCases: Readonly<Record<string, AlertCase>> = {
  LatchkeyKmsFailing: {
    fires: { [`${kms}finding{instance="a",name="no-keyring",severity="failing"}`]: always(1) },
    labels: { instance: 'a', name: 'no-keyring' },
    quiet: { [`${kms}finding{instance="a",name="other-key",severity="degraded"}`]: always(1) },
  },
  LatchkeyKmsDegraded: {
    fires: { [`${kms}finding{instance="a",name="other-key",severity="degraded"}`]: always(1) },
    labels: { instance: 'a', name: 'other-key' },
    // It is there for five minutes, as while a root restarts.
    quiet: {
      [`${kms}finding{instance="a",name="root-unavailable",severity="degraded"}`]: '_x25 1x5',
    },
  },
  LatchkeyKmsAnotherKeyring: {
    fires: {
      [`${kms}unknown_key_decrypts_total{instance="a",kind="another-keyring"}`]: '0x20 1x40',
    },
    labels: { instance: 'a', kind: 'another-keyring' },
    quiet: { [`${kms}unknown_key_decrypts_total{instance="a",kind="another-keyring"}`]: always(3) },
  },
  LatchkeyKmsRetiredKeyInUse: {
    fires: {
      [`${kms}retired_key_decrypts_total{instance="a",key_id_hash="sha256:0"}`]: '0x20 1x40',
    },
    labels: { instance: 'a', key_id_hash: 'sha256:0' },
    quiet: { [`${kms}retired_key_decrypts_total{instance="a",key_id_hash="sha256:0"}`]: always(3) },
  },
  LatchkeyKmsKeyUnusable: {
    fires: { [`${kms}key_usable{instance="a",key_id_hash="sha256:0"}`]: always(0) },
    labels: { instance: 'a', key_id_hash: 'sha256:0' },
    quiet: { [`${kms}key_usable{instance="a",key_id_hash="sha256:0"}`]: always(1) },
  },
  LatchkeyKmsErrors: {
    fires: {
      [`${kms}requests_total{instance="a",service="v2",method="Decrypt",code="OK"}`]: '0+60x60',
      [`${kms}requests_total{instance="a",service="v2",method="Decrypt",code="INTERNAL"}`]:
        '0+6x60',
    },
    labels: { instance: 'a', service: 'v2', method: 'Decrypt' },
    quiet: {
      [`${kms}requests_total{instance="a",service="v2",method="Decrypt",code="OK"}`]: '0+600x60',
      [`${kms}requests_total{instance="a",service="v2",method="Decrypt",code="INTERNAL"}`]:
        '0+1x60',
    },
  },
  LatchkeyKmsSlow: {
    fires: {
      [`${kms}request_duration_seconds_bucket{instance="a",method="Decrypt",le="0.5"}`]: '0+50x60',
      [`${kms}request_duration_seconds_bucket{instance="a",method="Decrypt",le="1"}`]: '0+60x60',
      [`${kms}request_duration_seconds_bucket{instance="a",method="Decrypt",le="+Inf"}`]: '0+60x60',
    },
    labels: { instance: 'a', method: 'Decrypt' },
    quiet: {
      [`${kms}request_duration_seconds_bucket{instance="a",method="Decrypt",le="0.5"}`]: '0+60x60',
      [`${kms}request_duration_seconds_bucket{instance="a",method="Decrypt",le="+Inf"}`]: '0+60x60',
    },
  },
  LatchkeyKmsKeyringUnchecked: {
    fires: { [`${kms}keyring_checked_timestamp_seconds{instance="a"}`]: always(0) },
    labels: { instance: 'a' },
    quiet: { [`${kms}keyring_checked_timestamp_seconds{instance="a"}`]: '0+60x60' },
  },
  LatchkeyKmsGenerationsDiffer: {
    fires: {
      [`${kms}keyring_generation{job="kms",instance="a"}`]: always(4),
      [`${kms}keyring_generation{job="kms",instance="b"}`]: always(5),
    },
    labels: { job: 'kms' },
    // One is a few minutes behind.
    quiet: {
      [`${kms}keyring_generation{job="kms",instance="a"}`]: '4x20 5x40',
      [`${kms}keyring_generation{job="kms",instance="b"}`]: '4x15 5x40',
    },
  },
  LatchkeyKmsUnacknowledged: {
    fires: {
      [`${kms}acknowledged_generation{instance="a"}`]: always(4),
      [`${kms}keyring_generation{instance="a"}`]: always(5),
    },
    labels: { instance: 'a' },
    // A keyring that is not shared has nobody to acknowledge to.
    quiet: {
      [`${kms}acknowledged_generation{instance="a"}`]: always(0),
      [`${kms}keyring_generation{instance="a"}`]: always(5),
    },
  },
  LatchkeyKmsKeyOld: {
    // The test's clock begins at 0, so the key became active before that.
    fires: { [`${kms}active_key_timestamp_seconds{instance="a"}`]: always(-91 * 86_400) },
    labels: { instance: 'a' },
    quiet: { [`${kms}active_key_timestamp_seconds{instance="a"}`]: always(-89 * 86_400) },
  },
  LatchkeyBrokerAbsent: {
    fires: {},
    labels: {},
    quiet: { [`${broker}build_info{instance="b"}`]: always(1) },
  },
  LatchkeyBrokerAudit: {
    fires: { [`${broker}audit_healthy{instance="b"}`]: always(0) },
    labels: { instance: 'b' },
    quiet: { [`${broker}audit_healthy{instance="b"}`]: always(1) },
  },
  LatchkeyBrokerStale: {
    fires: { [`${broker}stale_seconds{instance="b"}`]: '0+60x60' },
    labels: { instance: 'b' },
    quiet: { [`${broker}stale_seconds{instance="b"}`]: always(30) },
  },
  LatchkeyBrokerSourceProblems: {
    fires: {
      [`${broker}source_problems_total{instance="b"}`]: '0+2x60',
      [`${broker}cluster_problems_total{instance="b"}`]: always(0),
    },
    labels: { instance: 'b' },
    quiet: {
      [`${broker}source_problems_total{instance="b"}`]: '0x20 4x40',
      [`${broker}cluster_problems_total{instance="b"}`]: always(0),
    },
  },
  LatchkeyBrokerRefusing: {
    fires: {
      [`${broker}streams_refused_total{instance="b",reason="pod-not-injected"}`]: '0+60x60',
    },
    labels: { instance: 'b', reason: 'pod-not-injected' },
    quiet: { [`${broker}streams_refused_total{instance="b",reason="draining"}`]: '0+60x60' },
  },
  LatchkeyConcurrentStreams: {
    fires: { [`${broker}concurrent_streams_total{instance="b"}`]: '0x20 1x40' },
    labels: { instance: 'b' },
    quiet: { [`${broker}concurrent_streams_total{instance="b"}`]: always(2) },
  },
  LatchkeyOtherAddress: {
    fires: { [`${broker}other_address_total{instance="b"}`]: '0x20 1x40' },
    labels: { instance: 'b' },
    quiet: { [`${broker}other_address_total{instance="b"}`]: always(2) },
  },
  LatchkeyBrokerCertificate: {
    fires: { [`${broker}certificate_not_after_timestamp_seconds{instance="b"}`]: always(80_000) },
    labels: { instance: 'b' },
    quiet: { [`${broker}certificate_not_after_timestamp_seconds{instance="b"}`]: always(200_000) },
  },
  LatchkeyPodEvents: {
    fires: { [`${broker}pod_events_total{instance="b",result="failed"}`]: '0+1x60' },
    labels: { instance: 'b', result: 'failed' },
    quiet: { [`${broker}pod_events_total{instance="b",result="written"}`]: '0+1x60' },
  },
  LatchkeyWebhookAbsent: {
    fires: {},
    labels: {},
    quiet: { [`${webhook}build_info{instance="w"}`]: always(1) },
  },
  LatchkeyWebhookFailures: {
    fires: { [`${webhook}failures_total{instance="w",reason="busy"}`]: '0+1x60' },
    labels: { instance: 'w', reason: 'busy' },
    quiet: { [`${webhook}failures_total{instance="w",reason="invalid"}`]: '0+1x60' },
  },
  LatchkeyWebhookSlow: {
    fires: {
      [`${webhook}admission_duration_seconds_bucket{instance="w",le="0.1"}`]: '0+50x60',
      [`${webhook}admission_duration_seconds_bucket{instance="w",le="0.5"}`]: '0+60x60',
      [`${webhook}admission_duration_seconds_bucket{instance="w",le="+Inf"}`]: '0+60x60',
    },
    labels: { instance: 'w' },
    quiet: {
      [`${webhook}admission_duration_seconds_bucket{instance="w",le="0.1"}`]: '0+60x60',
      [`${webhook}admission_duration_seconds_bucket{instance="w",le="+Inf"}`]: '0+60x60',
    },
  },
  LatchkeyWebhookCertificate: {
    fires: { [`${webhook}certificate_expiry_timestamp_seconds{instance="w",certificate="webhook"}`]: always(10_000) }, // prettier-ignore
    labels: { instance: 'w', certificate: 'webhook' },
    quiet: { [`${webhook}certificate_expiry_timestamp_seconds{instance="w",certificate="webhook"}`]: always(60_000) }, // prettier-ignore
  },
  LatchkeyAuthorityEnding: {
    fires: { [`${webhook}certificate_expiry_timestamp_seconds{instance="w",certificate="authority"}`]: '1000000x180' }, // prettier-ignore
    labels: { instance: 'w', certificate: 'authority' },
    quiet: { [`${webhook}certificate_expiry_timestamp_seconds{instance="w",certificate="authority"}`]: '9000000x180' }, // prettier-ignore
    at: '2h',
  },
  LatchkeyBundleFought: {
    fires: { [`${webhook}bundle_writes_total{job="webhook",instance="w"}`]: '0+2x120' },
    labels: { job: 'webhook' },
    quiet: { [`${webhook}bundle_writes_total{job="webhook",instance="w"}`]: '0x20 4x100' },
    at: '1h',
  },
  LatchkeyPodStale: {
    fires: { [`${sidecar}stale_seconds{${pod}}`]: '0+60x60' },
    labels: ofPod,
    quiet: { [`${sidecar}stale_seconds{${pod}}`]: '0+60x10 0x50' },
  },
  LatchkeyPodNotReady: {
    fires: { [`${sidecar}started{${pod}}`]: always(1), [`${sidecar}ready{${pod}}`]: always(0) },
    labels: ofPod,
    // It waits for its first files, and its Events say for what.
    quiet: { [`${sidecar}started{${pod}}`]: always(0), [`${sidecar}ready{${pod}}`]: always(0) },
  },
  LatchkeyPodCannotWrite: {
    fires: { [`${sidecar}publication_failures_total{${pod},code="ERR_DISK_FULL"}`]: '0+1x60' },
    labels: { ...ofPod, code: 'ERR_DISK_FULL' },
    quiet: { [`${sidecar}publication_failures_total{${pod},code="ERR_DISK_FULL"}`]: always(1) },
  },
  LatchkeyHookFailing: {
    fires: { [`${sidecar}hooks_due{${pod}}`]: always(1) },
    labels: ofPod,
    quiet: { [`${sidecar}hooks_due{${pod}}`]: '0x20 1x5 0x40' },
  },
  LatchkeyRestartNeeded: {
    fires: { [`${sidecar}files_waiting_for_restart{${pod}}`]: '1x180' },
    labels: ofPod,
    quiet: { [`${sidecar}files_waiting_for_restart{${pod}}`]: '0x180' },
    at: '2h',
  },
}
