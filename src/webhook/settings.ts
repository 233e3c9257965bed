import type { HostPort } from '../base/address.ts'
import type { OwnerSettings } from '../injection/pod/settings.ts'
import type { JsonObject } from '../injection/pod/json.ts'

/** Amounts as Kubernetes writes them, by resource: `{ cpu: '10m' }`. */
export type Amounts = Readonly<Record<string, string>>

/**
 * Everything about injected containers that the operator decides. Nothing of it can be changed by
 * what a pod says.
 */
export interface SidecarSettings extends OwnerSettings {
  readonly image: string
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** Secrets by which kubelets pull the image; they must be in the pod's namespace. */
  readonly imagePullSecrets: readonly string[]
  /** The broker, as pods reach it. */
  readonly broker: HostPort
  /** Audience of the pod's token. */
  readonly audience: string
  /** Lifetime that is asked for the token, in seconds. */
  readonly tokenSeconds: number
  readonly requests: Amounts
  /** `memory` is that of the process; what the volumes may hold is added to it. */
  readonly limits: Amounts
  /** Size of a volume for each of its entries, in bytes: two generations and a new one. */
  readonly volumeBytesPerEntry: number
  /** Where the startup probe asks. */
  readonly healthPort: number
  /** Where it asks in pods on the host's network, which share ports. */
  readonly hostPorts: { readonly first: number; readonly count: number }
  /**
   * What is done about a service mesh: `exclude` keeps the sidecar's ports out of it, `through` starts
   * the sidecar after a proxy that is a native sidecar itself, `ignore` does nothing.
   */
  readonly mesh: 'exclude' | 'through' | 'ignore'
  readonly logLevel: string
  /** Where sidecars serve metrics, but in pods that have another use for it; nowhere by default. */
  readonly metricsPort: number | undefined
  /** How long files may go unconfirmed, as `24h`, and what happens then; for ever by default. */
  readonly maxStale:
    { readonly after: string; readonly action: 'report' | 'unready' | 'remove' } | undefined
}

/** What is known of the namespace of a pod; `undefined` where nobody could tell. */
export interface NamespaceFacts {
  readonly labels: JsonObject
  readonly annotations: JsonObject
}
