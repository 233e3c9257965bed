import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../observe/log.ts'
import type { BrokerAddress } from '../broker/connect.ts'
import type { TokenFile } from '../broker/token.ts'
import type { PerformHook } from '../hooks/hook-runner.ts'
import type { SidecarMetrics } from '../metrics.ts'
import type { FileOperations } from '../publish/file-operations.ts'
import type { StateDirectory } from '../state-directory.ts'
import type { SidecarEvent } from './events.ts'
import type { Tidy } from './tidying.ts'

/** What happens when nothing was confirmed for longer than the operator allows. */
export const staleActions = ['report', 'unready', 'remove'] as const
export type OnStale = (typeof staleActions)[number]

/** What a sidecar is made of. */
export interface AgentOptions {
  /** Put before every path of the plan. */
  readonly root: string
  readonly state: StateDirectory
  /** Whether the state is this process's alone: then what an earlier plan published is taken away. */
  readonly exclusive: boolean
  readonly operations: FileOperations
  readonly broker: BrokerAddress
  /** The certificate authorities that the pod was started with, PEM. May throw `ERR_CONFIG_INVALID`. */
  readonly readAuthorities: () => string
  readonly token: TokenFile
  /** 16 random bytes. */
  readonly instance: Uint8Array
  /** Name and version, for the broker's log. */
  readonly client: string
  /** Digest of the plan as the webhook wrote it; empty when the sidecar was started by hand. */
  readonly planDigest: string
  readonly performHook: PerformHook
  /** Gives memory back that earlier work left; called in pauses, and in the midst of much work. */
  readonly tidy: Tidy
  readonly clock: Clock
  /** Milliseconds since the machine started, which no jump of the clock changes. */
  readonly bootMs: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Log<SidecarEvent>
  readonly metrics: SidecarMetrics
  /** How long readers may go on using what a publication replaced, in milliseconds. */
  readonly previousKeptMs: number
  /** How often to look whether everything is still there, in milliseconds. */
  readonly verifyEveryMs: number
  /** After how many milliseconds without confirmation {@link AgentOptions.onStale} happens; never if `undefined`. */
  readonly maxStaleMs: number | undefined
  readonly onStale: OnStale
  /** Ends the run when everything is decided, or after `timeoutMs`. */
  readonly once: { readonly timeoutMs: number } | undefined
}
