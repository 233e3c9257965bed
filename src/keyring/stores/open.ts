import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import type { Disk } from '../../clients/disk.ts'
import type { Annex } from '../annex.ts'
import { isInEtcd } from '../place.ts'
import type { KeyringStore } from '../store.ts'
import type { EtcdStoreFlags, StoreNode } from './open-etcd.ts'

/** What stores need from the process that opens them. */
export interface StoreDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  /** The process's user; what root or this user owns is trusted. */
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
}

/**
 * Opens the store that `--keyring` names: a directory, or `etcd:https://HOST:PORT[,…]/PREFIX`. For a
 * `node`, which serves what is stored, it is one of the nodes that share it.
 *
 * @throws `ERR_USAGE` when the name is empty, or another URL, which would make an oddly named directory;
 * `ERR_CONFIG_INVALID`, `ERR_TLS_INVALID` for etcd; for a node, what its own copy throws.
 */
export async function openStore(
  name: string,
  deps: StoreDeps,
  options: { readonly etcd?: EtcdStoreFlags; readonly node?: StoreNode } = {},
): Promise<KeyringStore> {
  if (name === '') {
    throw new LatchkeyError('ERR_USAGE', '--keyring is empty', { hint: 'name a directory' })
  }
  if (isInEtcd(name)) {
    const { openEtcdStore } = await import('./open-etcd.ts')
    return await openEtcdStore(name, { ...deps, flags: options.etcd ?? {}, node: options.node })
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(name) || name.includes('\0')) {
    throw new LatchkeyError('ERR_USAGE', '--keyring is not the path of a directory', {
      hint: 'name a directory, such as /var/lib/latchkey/keyring, or etcd:https://HOST:PORT/PREFIX',
    })
  }
  const { fileStore } = await import('./file.ts')
  return fileStore(resolve(deps.cwd, name), deps)
}

/** Opens what stands beside the keyring that `--keyring` names. Throws as {@link openStore}. */
export async function openAnnex(
  name: string,
  deps: StoreDeps,
  options: { readonly etcd?: EtcdStoreFlags } = {},
): Promise<Annex> {
  if (isInEtcd(name)) {
    const { openEtcdAnnex } = await import('./open-etcd.ts')
    return await openEtcdAnnex(name, { ...deps, flags: options.etcd ?? {} })
  }
  // Refuses what is no name of a keyring.
  await openStore(name, deps)
  const { fileAnnex } = await import('./annex-file.ts')
  return fileAnnex(resolve(deps.cwd, name), deps)
}
