import type { X509Certificate } from 'node:crypto'
import { sha256Label } from '../../base/bytes.ts'
import type { StateDirectory } from '../state-directory.ts'
import { readBundle, vouchesFor } from './peer-chain.ts'

const documentName = 'ca-bundle.json'

/** What became of a bundle that a broker sent. */
export type Adoption = 'adopted' | 'known' | 'refused'

/**
 * Which certificate authorities a broker may be verified by: the newest bundle that came over a
 * verified connection, and, as a fallback, what the pod was started with.
 *
 * @remarks
 * An adopted bundle belongs to the authorities it was adopted beside: when the operator gives others,
 * it is forgotten.
 */
export class TrustStore {
  readonly #directory: StateDirectory
  readonly #readPinned: () => string
  #adopted: { readonly pinned: string; readonly pem: string } | undefined

  constructor(directory: StateDirectory, readPinned: () => string) {
    this.#directory = directory
    this.#readPinned = readPinned
    this.#adopted = readDocument(directory.read(documentName))
  }

  /** The bundles to try, the preferred one first. Throws what reading the pinned one throws. */
  candidates(): readonly string[] {
    const pinned = this.#readPinned()
    const adopted = this.#adopted
    const usable = adopted?.pinned === sha256Label(pinned) && readBundle(adopted.pem) !== undefined
    return usable ? [adopted.pem, pinned] : [pinned]
  }

  /** Adopts `pem` if it verifies the very connection over which it came. */
  adopt(pem: string, chain: readonly X509Certificate[], nowMs: number): Adoption {
    const pinned = sha256Label(this.#readPinned())
    if (this.#adopted?.pem === pem && this.#adopted.pinned === pinned) return 'known'
    const bundle = readBundle(pem)
    if (bundle === undefined || !vouchesFor(bundle, chain, nowMs)) return 'refused'
    const adopted = { pinned, pem }
    this.#directory.write(documentName, `${JSON.stringify({ format: 1, ...adopted })}\n`)
    this.#adopted = adopted
    return 'adopted'
  }
}

function readDocument(
  text: string | undefined,
): { readonly pinned: string; readonly pem: string } | undefined {
  try {
    const document = JSON.parse(text ?? '') as Readonly<Record<string, unknown>> | null
    const { format, pinned, pem } = document ?? {}
    if (format !== 1 || typeof pinned !== 'string' || typeof pem !== 'string') return undefined
    return { pinned, pem }
  } catch {
    return undefined
  }
}
