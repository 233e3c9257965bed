import { LatchkeyError } from '../../base/errors.ts'
import { isMount, type Act, type Outcome } from './act.ts'

/** What became of an act, over the time of the logs. */
export interface Entry {
  readonly act: Act
  /**
   * `used`: it was allowed, the last time too; `revoked`: allowed once, then denied; `denied`: never
   * allowed; `asked`: the logs do not say what the answer was.
   */
  readonly standing: 'used' | 'revoked' | 'denied' | 'asked'
  /** First and last time it was seen, milliseconds since 1970. */
  readonly firstMs: number
  readonly lastMs: number
}

/** A stretch of time, milliseconds since 1970. */
export interface Stretch {
  readonly fromMs: number
  readonly toMs: number
}

interface Record {
  readonly act: Act
  firstMs: number
  lastMs: number
  allowedMs: number
  deniedMs: number
}

/** More different acts than any install has, and still little memory. */
const maxActs = 100_000

/** What logs tell, each act once however often it happened. */
export class Ledger {
  readonly #records = new Map<string, Record>()
  readonly #covered = new Map<'mount' | 'api', { fromMs: number; toMs: number }>()
  readonly #maxActs: number

  constructor(options: { readonly maxActs?: number } = {}) {
    this.#maxActs = options.maxActs ?? maxActs
  }

  /**
   * Notes that something happened. The order of calls does not matter: times do.
   *
   * @throws `ERR_LIMIT` when the logs tell of more different acts than are kept.
   */
  record(act: Act, outcome: Outcome, timeMs: number): void {
    const key = keyOf(act)
    let record = this.#records.get(key)
    if (record === undefined) {
      if (this.#records.size >= this.#maxActs) {
        throw new LatchkeyError('ERR_LIMIT', `the logs tell of more than ${this.#maxActs} acts`, {
          hint: 'look at one namespace at a time, with --namespace',
        })
      }
      record = {
        act,
        firstMs: timeMs,
        lastMs: timeMs,
        allowedMs: -Infinity,
        deniedMs: -Infinity,
      }
      this.#records.set(key, record)
    }
    record.firstMs = Math.min(record.firstMs, timeMs)
    record.lastMs = Math.max(record.lastMs, timeMs)
    if (outcome === 'allowed') record.allowedMs = Math.max(record.allowedMs, timeMs)
    if (outcome === 'denied') record.deniedMs = Math.max(record.deniedMs, timeMs)
  }

  /** Notes that a log which would tell of such acts was kept at this time. */
  cover(kind: 'mount' | 'api', timeMs: number): void {
    const covered = this.#covered.get(kind)
    if (covered === undefined) {
      this.#covered.set(kind, { fromMs: timeMs, toMs: timeMs })
      return
    }
    covered.fromMs = Math.min(covered.fromMs, timeMs)
    covered.toMs = Math.max(covered.toMs, timeMs)
  }

  /** From when until when acts of that kind would have been seen; `undefined`: never. */
  covered(kind: 'mount' | 'api'): Stretch | undefined {
    return this.#covered.get(kind)
  }

  /** Every act, by account, place and what it is. */
  entries(): readonly Entry[] {
    return [...this.#records.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { act, firstMs, lastMs, allowedMs, deniedMs }]) => ({
        act,
        firstMs,
        lastMs,
        standing: standingOf(allowedMs, deniedMs),
      }))
  }
}

function standingOf(allowedMs: number, deniedMs: number): Entry['standing'] {
  if (allowedMs === -Infinity) return deniedMs === -Infinity ? 'asked' : 'denied'
  return deniedMs > allowedMs ? 'revoked' : 'used'
}

function keyOf(act: Act): string {
  const { account, namespace, apiGroup, resource, name, verb, path } = act
  const kind = isMount(act) ? '0' : '1'
  return [
    kind,
    account.namespace,
    account.name,
    namespace,
    apiGroup,
    resource,
    name,
    verb,
    path,
  ].join('\n')
}
