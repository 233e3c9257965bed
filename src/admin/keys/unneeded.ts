import { LatchkeyError } from '../../base/errors.ts'
import type { EtcdClient } from '../../clients/etcd/client.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { scannedStorage } from './rotate/adapters/storage-view.ts'
import type { StorageView } from './rotate/ports.ts'

/** What is asked of etcd for it. */
export type ProvingClient = Pick<
  EtcdClient,
  'location' | 'pages' | 'range' | 'clusterId' | 'compact'
>

/** The etcd of the API servers, to prove in that nothing needs a key. */
export interface ProvingEtcd {
  readonly etcd: readonly ProvingClient[]
  readonly prefix: string
  readonly signal: AbortSignal
}

/**
 * Reads all of etcd and returns the view, if nothing in it needs `keyId`, nothing is unreadable, and
 * something is under another of the keyring's keys: an etcd without any such object may be the wrong
 * one, or be read under the wrong prefix, and that nothing was found in it proves nothing.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming objects that need it.
 */
export async function requireUnneeded(
  keyId: string,
  keyring: Pick<Keyring, 'keys'>,
  { etcd, prefix, signal }: ProvingEtcd,
): Promise<StorageView> {
  const storage = scannedStorage(etcd, prefix)
  const onProgress = (): void => undefined
  const view = await storage.scan(new Set([keyId]), { onProgress, signal })
  if (view.needingCount > 0) {
    const v1 = view.uses
      .filter((use) => use.keyId === keyId && use.provider.startsWith('kms:v1:'))
      .reduce((sum, { objects }) => sum + objects, 0)
    const shown = view.needing.slice(0, 5).join(', ')
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `${view.needingCount} object(s) in etcd need key ${keyId}${v1 > 0 ? `, ${v1} of them by KMS v1` : ''}: ${shown}`,
      {
        hint:
          v1 > 0
            ? 'KMS v1 cannot be migrated in place: let version 2 write first in the EncryptionConfiguration, and rewrite the objects with "latchkey etcd migrate"'
            : 'run "latchkey keys rotate", or rewrite them with "latchkey etcd migrate"',
      },
    )
  }
  if (view.undecodable + view.unknownV1 > 0) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `${view.undecodable + view.unknownV1} object(s) in etcd cannot be told which key they need`,
      { hint: 'see "latchkey etcd scan" for which they are, and mend, migrate or delete them' },
    )
  }
  const ours = new Set(keyring.keys.map(({ id }) => id))
  if (!view.uses.some((use) => ours.has(use.keyId))) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `no object under ${prefix}/ is encrypted with any key of this keyring: that none needs key ${keyId} proves nothing`,
      {
        hint: 'name the etcd of the API servers that use this keyring with --etcd, and their --etcd-prefix with --prefix; or say --unproven to go by your own word',
      },
    )
  }
  return view
}
