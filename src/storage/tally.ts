import { LatchkeyError } from '../base/errors.ts'

/** How many objects of one resource are stored in one way. Field names are an interface. */
export interface ScanRow {
  readonly resource: string
  readonly provider: string
  /** Absent where there is none: plaintext, other providers, KMS v1 of other plugins. */
  readonly keyId?: string
  readonly objects: number
  /** Bytes of the values as etcd stores them. */
  readonly bytes: number
}

/** Counts things that are alike. `Label` says what makes them so: a flat record of texts. */
export class Tally<Label extends object> {
  readonly #rows = new Map<string, { label: Label; objects: number; bytes: number }>()

  /** Throws `ERR_LIMIT` when there are more kinds of things than any cluster has: memory stays bounded. */
  add(label: Label, bytes: number): void {
    const id = JSON.stringify(Object.values(label))
    const row = this.#rows.get(id)
    if (row !== undefined) {
      row.objects += 1
      row.bytes += bytes
      return
    }
    if (this.#rows.size >= maxRows) {
      throw new LatchkeyError('ERR_LIMIT', `more than ${maxRows} resources, providers and keys`, {
        hint: 'narrow the scan with --resource',
      })
    }
    this.#rows.set(id, { label, objects: 1, bytes })
  }

  /** One row for each label, in the labels' order. */
  rows(): readonly (Label & { readonly objects: number; readonly bytes: number })[] {
    const sorted = [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1))
    return sorted.map(([, { label, objects, bytes }]) => ({ ...label, objects, bytes }))
  }

  get size(): number {
    return this.#rows.size
  }
}

const maxRows = 100_000
