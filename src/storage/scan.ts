import { abortedError, type ErrorCode } from '../base/errors.ts'
import { judge, type Expectation, type Unexpected } from './expectation.ts'
import type { RecordSource, SourceFacts, StoredRecord } from './record.ts'
import { defaultPrefix, parseEtcdKey, type StoredName } from './resource.ts'
import { readStoredValue, type StoredValue, type UndecodableReason } from './stored-value.ts'
import { Tally, type ScanRow } from './tally.ts'

/** Objects that are not as expected, counted. */
export interface UnexpectedRow extends ScanRow {
  readonly why: Unexpected
}

/** Objects that are none. */
export interface UndecodableRow extends ScanRow {
  readonly reason: UndecodableReason
}

/**
 * Encrypted values outside the prefix: of API servers with another one, or of this one's when the
 * prefix that was given is wrong. They need their keys like any other.
 */
export interface ElsewhereRow extends Omit<ScanRow, 'resource'> {
  readonly state: StoredRecord['state']
}

/** Objects that did not decrypt. */
export interface FailureRow extends ScanRow {
  readonly cause: ErrorCode
}

/** What a scan found. Field names are an interface: `latchkey etcd scan -o json` prints it. */
export interface ScanReport {
  /** Every object, by resource and by how it is stored; without those that are exempt or undecodable. */
  readonly resources: readonly ScanRow[]
  /** What superseded revisions hold, counted in revisions; `null` when the source has none to show. */
  readonly history: readonly ScanRow[] | null
  /** Keys that API servers never encrypt. */
  readonly exempt: readonly ScanRow[]
  readonly undecodable: readonly UndecodableRow[]
  /** Keys outside the prefix, or of no form that an API server uses. */
  readonly outside: { readonly objects: number; readonly bytes: number }
  /** Those among them that are encrypted, and superseded revisions of such. */
  readonly elsewhere: readonly ElsewhereRow[]
  readonly unexpected: readonly UnexpectedRow[]
  /** With keys at hand: how many encrypted objects decrypted, and which did not. */
  readonly proof: { readonly decrypted: number; readonly failures: readonly FailureRow[] } | null
  readonly sources: readonly SourceFacts[]
}

/** One object that is not as expected. */
export interface UnexpectedObject extends StoredName {
  readonly key: string
  readonly provider: string
  readonly keyId?: string
  readonly modRevision: number
  /** Bytes of the value. */
  readonly bytes: number
  readonly why: Unexpected
}

/** Options of {@link scan}. */
export interface ScanOptions {
  /** The API servers' `--etcd-prefix`. Default `/registry`. */
  readonly prefix?: string
  /** Only these, as an EncryptionConfiguration names them. Default: all. */
  readonly resources?: ReadonlySet<string>
  readonly expect?: Expectation
  /** Whether superseded revisions must be as expected, too. */
  readonly judgeHistory?: boolean
  /** Called with each object that is not as expected, and awaited, so that nothing piles up. */
  readonly onUnexpected?: (object: UnexpectedObject) => void | Promise<void>
  /** Called with each encrypted value outside the prefix. */
  readonly onElsewhere?: (found: { readonly key: string; readonly keyId?: string }) => void
  /** Decrypts an object, keeps nothing, and returns the code of what went wrong. */
  readonly prove?: (key: string, value: StoredValue) => ErrorCode | undefined
  /** Called after each batch with the totals so far. */
  readonly onProgress?: (records: number, bytes: number) => void
  readonly signal: AbortSignal
}

/**
 * Reads all of `sources` once and says what is stored how. Memory does not depend on the number or
 * size of the objects.
 *
 * @throws what a source throws; `ERR_LIMIT`; `ERR_ABORTED` after the signal; what a callback throws.
 */
export async function scan(
  sources: readonly RecordSource[],
  options: ScanOptions,
): Promise<ScanReport> {
  const scanning = new Scanning(options)
  for (const source of sources) {
    for await (const batch of source.batches(options.signal)) {
      for (const record of batch) await scanning.record(record)
      scanning.progress()
      if (options.signal.aborted) throw abortedError(options.signal)
    }
  }
  return scanning.report(sources.map(({ facts }) => facts))
}

/**
 * The objects that are not as expected, one by one as they are read; for whoever acts on each.
 *
 * @throws as {@link scan}.
 */
export async function* findUnexpected(
  sources: readonly RecordSource[],
  options: Omit<ScanOptions, 'onUnexpected'>,
): AsyncGenerator<UnexpectedObject> {
  const found: UnexpectedObject[] = []
  const onUnexpected = (object: UnexpectedObject): void => {
    found.push(object)
  }
  const scanning = new Scanning({ ...options, onUnexpected })
  for (const source of sources) {
    for await (const batch of source.batches(options.signal)) {
      for (const record of batch) await scanning.record(record)
      yield* found.splice(0)
      scanning.progress()
    }
  }
}

interface Label {
  readonly resource: string
  readonly provider: string
  readonly keyId?: string
}

class Scanning {
  readonly #options: ScanOptions
  readonly #resources = new Tally<Label>()
  readonly #history = new Tally<Label>()
  readonly #exempt = new Tally<Label>()
  readonly #undecodable = new Tally<Label & { readonly reason: UndecodableReason }>()
  readonly #unexpected = new Tally<Label & { readonly why: Unexpected }>()
  readonly #failures = new Tally<Label & { readonly cause: ErrorCode }>()
  readonly #elsewhere = new Tally<Omit<Label, 'resource'> & Pick<ElsewhereRow, 'state'>>()
  readonly #outside = { objects: 0, bytes: 0 }
  #decrypted = 0
  #records = 0
  #bytes = 0

  constructor(options: ScanOptions) {
    this.#options = options
  }

  progress(): void {
    this.#options.onProgress?.(this.#records, this.#bytes)
  }

  async record(record: StoredRecord): Promise<void> {
    const bytes = record.value.byteLength
    this.#records += 1
    this.#bytes += bytes
    const name = parseEtcdKey(record.key, this.#options.prefix ?? defaultPrefix)
    if (name === undefined) {
      this.#lookOutside(record)
      if (record.state === 'superseded') return
      this.#outside.objects += 1
      this.#outside.bytes += bytes
      return
    }
    const { resources, judgeHistory = false } = this.#options
    if (resources !== undefined && !resources.has(name.resource)) return
    const value = readStoredValue(record.value)
    const label = labelOf(name, value)
    if (record.state === 'superseded') {
      this.#history.add(label, bytes)
      if (!judgeHistory) return
    } else {
      this.#count(name, value, { label, bytes })
      this.#prove(record.key, value, { label, bytes })
    }
    await this.#judge(record, name, { value, label })
  }

  report(sources: readonly SourceFacts[]): ScanReport {
    const { prove } = this.#options
    return {
      resources: this.#resources.rows(),
      history: sources.some(({ hasHistory }) => hasHistory) ? this.#history.rows() : null,
      exempt: this.#exempt.rows(),
      undecodable: this.#undecodable.rows(),
      outside: { ...this.#outside },
      elsewhere: this.#elsewhere.rows(),
      unexpected: this.#unexpected.rows(),
      proof:
        prove === undefined
          ? null
          : { decrypted: this.#decrypted, failures: this.#failures.rows() },
      sources,
    }
  }

  #lookOutside({ key, value, state }: StoredRecord): void {
    const stored = readStoredValue(value)
    if (stored.provider === 'identity') return
    const { resource: _, ...label } = labelOf({ resource: '' }, stored)
    this.#elsewhere.add({ ...label, state }, value.byteLength)
    this.#options.onElsewhere?.({ key, ...label })
  }

  #count(name: StoredName, value: StoredValue, found: { label: Label; bytes: number }): void {
    if (name.exempt) this.#exempt.add(found.label, found.bytes)
    else if (value.kind === 'undecodable') {
      this.#undecodable.add({ ...found.label, reason: value.reason }, found.bytes)
    } else this.#resources.add(found.label, found.bytes)
  }

  #prove(key: string, value: StoredValue, found: { label: Label; bytes: number }): void {
    const { prove } = this.#options
    if (prove === undefined || value.kind === 'identity' || value.kind === 'undecodable') return
    const cause = prove(key, value)
    if (cause === undefined) this.#decrypted += 1
    else this.#failures.add({ ...found.label, cause }, found.bytes)
  }

  async #judge(
    record: StoredRecord,
    name: StoredName,
    { value, label }: { readonly value: StoredValue; readonly label: Label },
  ): Promise<void> {
    const { expect, onUnexpected } = this.#options
    const why = expect === undefined ? undefined : judge(name, value, expect)
    if (why === undefined) return
    const bytes = record.value.byteLength
    this.#unexpected.add({ ...label, why }, bytes)
    const { key, modRevision } = record
    await onUnexpected?.({ ...name, ...label, key, modRevision, bytes, why })
  }
}

function labelOf({ resource }: Pick<StoredName, 'resource'>, value: StoredValue): Label {
  const { provider } = value
  const keyId = value.kind === 'kms-v2' || value.kind === 'kms-v1' ? value.keyId : undefined
  return keyId === undefined ? { resource, provider } : { resource, provider, keyId }
}

/** How many objects need each key id, those outside the prefix included; with `history`, superseded revisions are counted as well. */
export function keysInUse(
  report: ScanReport,
  options: { readonly history: boolean },
): ReadonlyMap<string, number> {
  const used = new Map<string, number>()
  const rows = [
    ...report.resources,
    ...report.exempt,
    ...report.elsewhere.filter(({ state }) => options.history || state === 'current'),
    ...(options.history ? (report.history ?? []) : []),
  ]
  for (const { keyId, objects } of rows) {
    if (keyId !== undefined) used.set(keyId, (used.get(keyId) ?? 0) + objects)
  }
  return used
}

/** Whether values need a key of some KMS provider that cannot be told: damaged ones, and KMS v1 of other plugins. */
export function needUnknownKey({
  provider,
  keyId,
}: {
  readonly provider: string
  readonly keyId?: string
}): boolean {
  return keyId === undefined && /^(kms:|unknown$)/.test(provider)
}

/** How many encrypted values, superseded ones included, need a key that cannot be told; see {@link needUnknownKey}. */
export function unknownKeys(report: ScanReport): number {
  return [...report.resources, ...report.undecodable, ...(report.history ?? [])]
    .filter(needUnknownKey)
    .reduce((sum, { objects }) => sum + objects, 0)
}
