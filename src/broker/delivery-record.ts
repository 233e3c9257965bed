import type { Clock } from '../base/clock.ts'
import type { AuditSink, AuditSubject } from '../observe/audit.ts'
import { deliveryEvent } from './delivery.ts'
import type { AcknowledgementMessage, RequestedSecret } from './messages.ts'
import type { PreparedSet } from './secret-set.ts'

/** How soon a delivery is tried again when the audit could not be written. */
const retryMs = 1_000

/** Whose deliveries are recorded. */
export interface Recipient {
  readonly who: AuditSubject
  readonly peer: string
  readonly references: readonly RequestedSecret[]
}

/** Records in the audit what one stream is handed, and what its client answers. */
export class DeliveryRecord {
  readonly #audit: AuditSink
  readonly #clock: Clock
  readonly #recipient: () => Recipient
  #retryAtMs = 0

  constructor(
    deps: { readonly audit: AuditSink; readonly clock: Clock },
    recipient: () => Recipient,
  ) {
    this.#audit = deps.audit
    this.#clock = deps.clock
    this.#recipient = recipient
  }

  /** Records that a set is handed out. Returns whether it could be recorded, and so may be. */
  async admit(set: PreparedSet): Promise<boolean> {
    if (this.#clock.monotonicMs() < this.#retryAtMs) return false
    try {
      await this.#audit.admit(deliveryEvent(set, this.#recipient()))
      return true
    } catch {
      this.#retryAtMs = this.#clock.monotonicMs() + retryMs
      return false
    }
  }

  /** Records a set that hands nothing out, and so need not wait for its record. */
  note(set: PreparedSet): void {
    this.#audit.note(deliveryEvent(set, this.#recipient()))
  }

  acknowledged({ outcome, version }: AcknowledgementMessage): void {
    this.#audit.note({
      event: 'set.acknowledged',
      outcome: outcome === 'written' ? 'done' : 'failed',
      who: this.#recipient().who,
      set: version,
      detail: outcome,
    })
  }
}
