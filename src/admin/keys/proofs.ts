import { sha256Label } from '../../base/bytes.ts'
import { rfc3339 } from '../../base/clock.ts'
import type { Annex } from '../../keyring/annex.ts'
import type { ReadCluster } from './rotate/ports.ts'

/** That a scan of etcd has found nothing under a key. */
export interface Proof {
  readonly keyId: string
  /** Every etcd cluster, and the revision at which it was read. */
  readonly clusters: readonly ReadCluster[]
  /** Whether a rotation had proved before that no API server writes with the key any more. */
  readonly unwritten?: boolean
  /** RFC 3339, UTC. */
  readonly at: string
}

const kind = 'proof'

/** What scans have proved of a keyring's keys, in its annex. */
export class Proofs {
  readonly #annex: Annex
  readonly #now: () => number

  constructor(annex: Annex, now: () => number) {
    this.#annex = annex
    this.#now = now
  }

  /** Records that nothing needed `keyIds` in `clusters`, as they were read. */
  async add(
    keyIds: readonly string[],
    clusters: readonly ReadCluster[],
    { unwritten = false }: { readonly unwritten?: boolean } = {},
  ): Promise<void> {
    for (const keyId of keyIds) {
      const name = sha256Label(JSON.stringify([keyId, clusters, unwritten])).slice(7, 47)
      const proof: Proof = { keyId, clusters, unwritten, at: rfc3339(this.#now()) }
      await this.#annex.create(kind, name, proof)
    }
  }

  /** What is known of `keyId`, oldest first. */
  async of(keyId: string): Promise<readonly Proof[]> {
    const all = (await this.#annex.list(kind)).map(({ value }) => value as Proof)
    return all.filter((proof) => proof.keyId === keyId).sort((a, b) => a.at.localeCompare(b.at))
  }

  /** Forgets what was known of a key that is gone. */
  async forget(keyId: string): Promise<void> {
    for (const { name, value } of await this.#annex.list(kind)) {
      if ((value as Proof).keyId === keyId) await this.#annex.remove(kind, name)
    }
  }
}
