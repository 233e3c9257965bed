import type { RandomBytes } from '../../../base/random.ts'
import type { MakeDeps } from '../../../keyring/seal.ts'
import { activate, beginRotation, retire, stage, type KeyringStepOptions } from './keyring-steps.ts'
import type { OpenRotation } from './journal.ts'
import { look } from './look.ts'
import { waitForMembers } from './members.ts'
import { migrateAndScan } from './migrate-and-scan.ts'
import type { RotationPorts, StorageView } from './ports.ts'

/** Options of {@link rotateKeys}. Durations are milliseconds. */
export interface RotateOptions {
  /** How long to wait for members and for API servers, each. */
  readonly timeoutMs: number
  /** The API servers' `--request-timeout`: how long a write begun before the proof may still land. */
  readonly requestTimeoutMs: number
  /** Objects that may go on needing a retired key, as `secrets/NAMESPACE/NAME`. */
  readonly accepted: ReadonlySet<string>
  readonly make: MakeDeps
  readonly random: RandomBytes
  /** Asked once, when everything was looked at and before anything is changed. */
  readonly agree: (plan: RotationPlan) => Promise<void>
  readonly signal: AbortSignal
}

/** What a rotation is about to do. */
export interface RotationPlan {
  /** The interrupted rotation that goes on, if there is one. */
  readonly resumes: OpenRotation | undefined
  readonly activeKeyId: string
  readonly stagedKeyId: string | undefined
  /** Keys that are superseded already, and are retired with the rest. */
  readonly superseded: readonly string[]
  readonly members: readonly string[]
  readonly servers: readonly string[]
  /** Objects by key and resource. */
  readonly storage: StorageView
  /** Objects that will be rewritten. */
  readonly objects: number
  /** From the rate of the last rotation, when there was one. */
  readonly migrationSeconds: number | undefined
}

/** What a rotation came to. */
export interface RotationOutcome {
  readonly keyId: string
  readonly retired: readonly string[]
  readonly accepted: readonly string[]
  readonly revision: number
}

/**
 * Rotates the master key: stage, wait for every member, activate, prove every API server, rewrite,
 * scan, retire. Interrupted at any instant it can be called again and goes on: what is safe is told
 * by the keyring and by etcd alone, each time anew.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when going on could lose data, saying what is missing; whatever its
 * ports throw for good. Nothing is lost by stopping at any of these.
 */
export async function rotateKeys(
  ports: RotationPorts,
  options: RotateOptions,
): Promise<RotationOutcome> {
  const { signal, timeoutMs } = options
  const begunMs = ports.clock.monotonicMs()
  await options.agree(await look(ports, options))

  const rotation = await beginRotation(ports, options.random)
  const stepOptions: KeyringStepOptions = { make: options.make, timeoutMs, signal }
  step(ports, 'stage', 'started', 'adding a key that all can decrypt with and none encrypts with')
  const keyId = await stage(ports, rotation, stepOptions)
  step(ports, 'stage', 'done', `key ${keyId}`)

  if (await isStaged(ports, keyId)) {
    await waitForMembers(ports, { step: 'acknowledge-staged', timeoutMs, signal })
  }
  step(ports, 'activate', 'started', 'encrypting with the new key')
  await activate(ports, { ...rotation, keyId }, stepOptions)
  step(ports, 'activate', 'done', `key ${keyId} is active`)
  await waitForMembers(ports, { step: 'acknowledge-active', timeoutMs, signal })

  const { view, old, accepted } = await migrateAndScan(ports, { ...options, keyId, rotation })
  if (accepted.length === 0) await ports.proofs.add(old, view.clusters, { unwritten: true })
  step(ports, 'retire', 'started', `retiring ${old.length} key(s)`)
  const retired = await retire(ports, old, stepOptions)
  const { revision } = view
  await ports.journal.add(rotation.id, { what: 'retired', keyIds: retired, revision, accepted })
  await ports.journal.add(rotation.id, { what: 'finished' })
  step(ports, 'retire', 'done', `retired: ${retired.length === 0 ? 'none' : retired.join(', ')}`)
  const seconds = Math.round((ports.clock.monotonicMs() - begunMs) / 1000)
  ports.tell({ event: 'finished', keyId, retired, accepted, revision, seconds })
  return { keyId, retired, accepted, revision }
}

function step(
  ports: RotationPorts,
  name: 'stage' | 'activate' | 'retire',
  state: 'started' | 'done',
  text: string,
): void {
  ports.tell({ event: 'step', step: name, state, text })
}

async function isStaged(ports: RotationPorts, keyId: string): Promise<boolean> {
  using current = await ports.keyring.open()
  return current.keyring.find(keyId)?.state === 'staged'
}
