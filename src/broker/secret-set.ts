import { maxContentBytes, type SecretEntry } from '../secrets/content.ts'
import type { SecretObservation } from '../secrets/source.ts'
import type { Versioner } from '../secrets/version.ts'
import { encodeSecretSet, type EncodableItem } from './encode.ts'
import type { RequestedSecret, Status, UnavailableReason } from './messages.ts'
import type { PermissionView } from './permission.ts'

/** Room for entries in a message of 17 MiB; what is left is for names, versions and framing. */
const maxMessageBytes = maxContentBytes + 524_288
const entryOverheadBytes = 16

/** What a set says of one reference, without its values. */
export interface SetItem {
  readonly secret: string
  readonly status: Status
  readonly version: string
  readonly reason: UnavailableReason
}

/** What is known of one reference at the moment. */
export interface Knowledge {
  readonly requested: RequestedSecret
  readonly permission: PermissionView
  /** Whether there is a source for it at all. */
  readonly configured: boolean
  readonly observation: SecretObservation | undefined
}

/** A set that is ready to be sent, any number of times. Owns the encoded message. */
export interface PreparedSet extends Disposable {
  readonly sequence: number
  readonly version: string
  readonly items: readonly SetItem[]
  /** The whole `DeliverResponse`. */
  readonly message: Buffer
}

/**
 * What is decided of each reference, with the values where the decision is to hand them out.
 *
 * @remarks
 * Permission comes first, so that nobody learns of a secret that they may not mount, not even
 * whether it exists. Where an answer is not trusted at the moment nothing is said: the client keeps
 * what it has.
 */
export function decideItems(
  known: readonly Knowledge[],
  deps: { readonly namespace: string; readonly versioner: Versioner },
): readonly EncodableItem[] {
  const room = { values: maxContentBytes, message: maxMessageBytes }
  return known.map((it) => {
    const { secret, keys } = it.requested
    const bare = (status: Status, reason: UnavailableReason = 'unspecified'): EncodableItem => ({
      secret,
      status,
      version: '',
      entries: [],
      reason,
    })
    if (it.permission.decision === 'denied') return bare('denied')
    if (it.permission.decision === 'unknown' || !it.permission.trusted) {
      return bare('unavailable', 'authorization')
    }
    if (!it.configured) return bare('unavailable', 'source-not-configured')
    if (it.observation === undefined) return bare('unavailable', 'source')
    if (it.observation.state === 'absent') return bare('not-found')
    const entries = it.observation.content.select(keys)
    if (!fits(entries, room)) return bare('unavailable', 'too-large')
    const version = deps.versioner.ofEntries(entries, { namespace: deps.namespace, secret })
    return { secret, status: 'ready', version, entries, reason: 'unspecified' }
  })
}

/** Of a reference nothing is said: the client keeps what it has. */
export function undecided(
  { secret }: Pick<SetItem, 'secret'>,
  reason: UnavailableReason,
): EncodableItem {
  return { secret, status: 'unavailable', version: '', entries: [], reason }
}

/** Encodes a set: the one moment at which values are copied. */
export function prepareSet(
  items: readonly EncodableItem[],
  options: { readonly sequence: number; readonly versioner: Versioner },
): PreparedSet {
  const { sequence } = options
  const version = options.versioner.ofSet(
    items.flatMap((item) => [item.secret, item.status, item.version]),
  )
  const message = encodeSecretSet({ sequence, version, items })
  return {
    sequence,
    version,
    items: items.map(({ entries: _entries, ...item }) => item),
    message,
    [Symbol.dispose]: () => {
      message.fill(0)
    },
  }
}

/** Whether the item says something definite: a decision, which takes the place of what was before. */
export function isDecided({ status }: Pick<SetItem, 'status'>): boolean {
  return status !== 'unavailable'
}

/** Whether two items say the same; why something is unavailable is for people only. */
export function sameItem(a: SetItem | undefined, b: SetItem): boolean {
  return a?.status === b.status && a.version === b.version
}

/** Takes the entries' share of what is left, if there is enough. */
function fits(entries: readonly SecretEntry[], room: { values: number; message: number }): boolean {
  const values = entries.reduce((sum, { value }) => sum + value.byteLength, 0)
  const around = entries.reduce((sum, { key }) => sum + key.length + entryOverheadBytes, 0)
  if (values > room.values || values + around > room.message) return false
  room.values -= values
  room.message -= values + around
  return true
}
