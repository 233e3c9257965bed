import type { Keyring } from '../keyring/keyring.ts'

/**
 * What is served at one moment. One snapshot feeds Status and Encrypt, and it is replaced as a
 * whole, so that no answer mixes two keyrings.
 */
export interface Snapshot {
  readonly keyring: Keyring
  /** Ids of keys that failed the last self-test. */
  readonly unusable: ReadonlySet<string>
}

/** Holds the snapshot being served, if any. */
export class Serving {
  #snapshot: Snapshot | undefined

  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /**
   * Serves `next` from now on. Calls are answered without waiting in between, so none still uses the
   * former keyring, and its keys are wiped.
   */
  replace(next: Snapshot | undefined): void {
    const former = this.#snapshot
    this.#snapshot = next
    if (former?.keyring !== next?.keyring) former?.keyring[Symbol.dispose]()
  }
}
