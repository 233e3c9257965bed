import type { Clock } from '../base/clock.ts'
import { Health, type Finding } from '../observe/health.ts'

/**
 * What the plugin can find wrong with itself. The reasons end up in the API server's log and health
 * page, so they are fixed sentences.
 */
const reasons = {
  'no-keyring': 'no keyring is loaded',
  'active-key': 'the active key failed its self-test',
  'other-key': 'a key that may still be needed failed its self-test',
  'keyring-refused': 'the keyring in the store was refused',
  'root-unavailable': 'no root opens the keyring in the store',
  unconfirmed: 'the store of the keyring cannot be reached: what is served is not confirmed',
  'not-a-member': 'the nodes that share the keyring cannot be told of this one',
  'another-keyring': 'Decrypt was asked for a key of another keyring',
  'newer-generation': 'Decrypt was asked for a key of a newer generation of the keyring',
} as const

/** Name of a finding. */
export type KmsFinding = keyof typeof reasons

const alwaysFailing: ReadonlySet<KmsFinding> = new Set(['no-keyring', 'active-key'])

/** How long a finding that a request caused is kept after the last such request: 10 minutes. */
const causedByRequestsMs = 600_000

/**
 * The plugin's health. Failing is only what keeps the active key from working: an API server whose
 * readyz fails is taken out of service, and that must not happen to one that works. With `strict`,
 * everything is failing.
 */
export class KmsHealth extends Health<KmsFinding> {
  readonly #strict: boolean
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #expires = new Map<KmsFinding, number>()

  constructor(options: { readonly strict: boolean; readonly clock: Pick<Clock, 'monotonicMs'> }) {
    super()
    this.#strict = options.strict
    this.#clock = options.clock
  }

  /** Notes finding `name` as present or not. */
  set(name: KmsFinding, present: boolean): void {
    if (!present) {
      this.clear(name)
      return
    }
    const failing = this.#strict || alwaysFailing.has(name)
    this.report({ name, severity: failing ? 'failing' : 'degraded', reason: reasons[name] })
  }

  /** Notes a finding that requests cause; it goes by itself when no further request does. */
  setForAWhile(name: KmsFinding): void {
    this.set(name, true)
    this.#expires.set(name, this.#clock.monotonicMs() + causedByRequestsMs)
  }

  override get findings(): readonly Finding<KmsFinding>[] {
    if (this.#expires.size > 0) this.#expire()
    return super.findings
  }

  #expire(): void {
    const now = this.#clock.monotonicMs()
    for (const [name, at] of this.#expires) {
      if (now < at) continue
      this.#expires.delete(name)
      this.clear(name)
    }
  }
}
