import type { AuditEvent, AuditItem, AuditSubject } from '../observe/audit.ts'
import { maxAuditedKeys } from '../observe/audit.ts'
import type { SecretEntry } from '../secrets/content.ts'
import type { Versioner } from '../secrets/version.ts'
import { encodeSecretSet, type EncodableItem } from './encode.ts'
import type { Identity } from './identity.ts'
import type { AcknowledgementMessage, Outcome, RequestedSecret, Status } from './messages.ts'
import { isDecided, sameItem, type PreparedSet, type SetItem } from './secret-set.ts'

/** The last acknowledgement of a stream. */
export interface Acknowledged {
  readonly sequence: number
  readonly outcome: Outcome
  readonly atMs: number
}

/** What a set would tell a client beyond what it has been told. */
export interface News {
  /** Items with values that the client has not got yet. */
  readonly handedOut: readonly SetItem[]
  /** Items that the client has to take away. */
  readonly takenAway: readonly SetItem[]
}

/** What one client has been told, item by item, and what it made of it. */
export class Delivery {
  readonly #told: (SetItem | undefined)[]
  readonly #toldIn: number[]
  #lastSequence = 0
  #acknowledged: Acknowledged | undefined

  constructor(references: readonly RequestedSecret[]) {
    this.#told = references.map(() => undefined)
    this.#toldIn = references.map(() => 0)
  }

  /** Sequence of the last set that was sent; 0 before the first. */
  get lastSequence(): number {
    return this.#lastSequence
  }

  get acknowledged(): Acknowledged | undefined {
    return this.#acknowledged
  }

  /** What `set` has that the client does not know. Being unable to tell is no news. */
  newsOf(set: Pick<PreparedSet, 'items'>): News {
    const fresh = set.items.filter(
      (item, index) => isDecided(item) && !sameItem(this.#told[index], item),
    )
    return {
      handedOut: fresh.filter(({ status }) => status === 'ready'),
      takenAway: fresh.filter(({ status }) => status !== 'ready'),
    }
  }

  /** A set was handed to the client. */
  sent(set: Pick<PreparedSet, 'sequence' | 'items'>): void {
    this.#lastSequence = set.sequence
    for (const [index, item] of set.items.entries()) {
      if (!isDecided(item) || sameItem(this.#told[index], item)) continue
      this.#told[index] = item
      this.#toldIn[index] = set.sequence
    }
  }

  /** Takes an acknowledgement; returns whether it says anything new. */
  acknowledge({ sequence, outcome }: AcknowledgementMessage, nowMs: number): boolean {
    const former = this.#acknowledged
    if (sequence > this.#lastSequence || sequence < (former?.sequence ?? 0)) return false
    this.#acknowledged = { sequence, outcome, atMs: nowMs }
    return former?.sequence !== sequence || former.outcome !== outcome
  }

  /** Whether the client has acknowledged, as written, what `item` says of the reference at `index`. */
  isCurrent(index: number, item: SetItem): boolean {
    return (
      this.#acknowledged?.outcome === 'written' &&
      this.#acknowledged.sequence >= (this.#toldIn[index] ?? 0) &&
      isDecided(item) &&
      sameItem(this.#told[index], item)
    )
  }

  /** Status of each reference as last told. */
  toldStatuses(): readonly (Status | undefined)[] {
    return this.#told.map((item) => item?.status)
  }
}

/** A set for one stream alone, which hands nothing out: each item not taken away is left open. */
export function withholdValues(
  items: readonly SetItem[],
  options: { readonly sequence: number; readonly versioner: Versioner },
): PreparedSet {
  const none: readonly SecretEntry[] = []
  const withheld: readonly EncodableItem[] = items.map((item) =>
    item.status === 'ready'
      ? {
          secret: item.secret,
          status: 'unavailable',
          version: '',
          reason: 'unspecified',
          entries: none,
        }
      : { ...item, entries: none },
  )
  const { sequence, versioner } = options
  const version = versioner.ofSet(withheld.flatMap((it) => [it.secret, it.status, it.version]))
  return {
    sequence,
    version,
    items: withheld,
    message: encodeSecretSet({ sequence, version, items: withheld }),
    [Symbol.dispose]: () => undefined,
  }
}

/** How a delivery looks in the audit. */
export function deliveryEvent(
  set: PreparedSet,
  about: {
    readonly who: AuditSubject
    readonly peer: string
    readonly references: readonly RequestedSecret[]
  },
): AuditEvent {
  return {
    event: 'set.delivered',
    outcome: 'allowed',
    who: about.who,
    peer: about.peer,
    set: set.version,
    what: set.items.map((item, index) => auditItem(about.references[index], item)),
  }
}

/** How a reference looks in the audit, with what is said of it if anything is. */
export function auditItem(requested: RequestedSecret | undefined, item?: SetItem): AuditItem {
  const keys = requested?.keys ?? []
  const more = keys.length - maxAuditedKeys
  return {
    secret: requested?.secret ?? '',
    keys: keys.slice(0, maxAuditedKeys),
    ...(more > 0 ? { moreKeys: more } : {}),
    ...(item === undefined ? {} : { status: auditStatuses[item.status] }),
    ...(item?.status === 'ready' ? { version: item.version } : {}),
  }
}

const auditStatuses = {
  ready: 'READY',
  denied: 'DENIED',
  'not-found': 'NOT_FOUND',
  unavailable: 'UNAVAILABLE',
} as const

/** How a pod looks in the audit. */
export function auditSubject(identity: Identity): AuditSubject {
  return {
    namespace: identity.account.namespace,
    account: identity.account.name,
    pod: identity.pod.name,
    podUid: identity.pod.uid,
    node: identity.nodeName,
    tokenId: identity.tokenId,
  }
}
