import { toBase64Url, utf8 } from '../../base/bytes.ts'
import { systemClock, type Clock } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { createFile, makeDirectories } from '../../clients/disk.ts'
import { parseEtcdUrl, type EtcdFileFlags } from '../../clients/etcd/flags.ts'
import { openEtcd, type CertificateReload } from '../../clients/etcd/open.ts'
import { readGuardedFile } from '../../clients/guarded-file.ts'
import { resolve } from 'node:path'
import type { Annex } from '../annex.ts'
import type { KeyringStore } from '../store.ts'
import { etcdAnnex } from './annex-etcd.ts'
import { etcdMembership } from './etcd-membership.ts'
import { etcdLayout, memberNamePattern } from './etcd-layout.ts'
import { etcdStore } from './etcd.ts'
import { copyStore } from './keep-copy.ts'
import type { StoreDeps } from './open.ts'

/** How to reach a keyring in etcd, and what this machine remembers of it. */
export interface EtcdStoreFlags extends EtcdFileFlags {
  /** Directory for this node's own copy. Without it nothing is remembered here. */
  readonly localCopy?: string | undefined
}

/** The node that opens a store for its own service. */
export interface StoreNode {
  /** Name of the node. */
  readonly name: string
  /** Keeps the connection's certificate fresh. */
  readonly reload: CertificateReload
}

const nodeIdPattern = /^[A-Za-z0-9_-]{21}[AQgw]\n$/

/**
 * Opens the keyring at `etcd:https://HOST:PORT[,…]/PREFIX`. Connects when it is first used.
 *
 * @throws `ERR_CONFIG_INVALID`, `ERR_USAGE`, `ERR_TLS_INVALID`; for a node, what its own copy throws.
 */
export async function openEtcdStore(
  name: string,
  deps: StoreDeps & {
    readonly flags: EtcdStoreFlags
    readonly node: StoreNode | undefined
    readonly clock?: Clock
  },
): Promise<KeyringStore> {
  const { flags, node, clock = systemClock } = deps
  const { access, prefix } = parseEtcdUrl(name, flags, { cwd: deps.cwd, field: 'keyring' })
  const directory = flags.localCopy === undefined ? undefined : resolve(deps.cwd, flags.localCopy)
  if (node !== undefined && !memberNamePattern.test(node.name)) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'node-name is not the name of a node', {
      hint: 'give small letters, digits, "-" and ".", as the node is named in Kubernetes, with --node-name',
    })
  }
  const reload = node === undefined ? {} : { reload: node.reload }
  const etcd = await openEtcd(access, { clock, random: deps.random, ...reload })
  try {
    const localCopy = directory === undefined ? undefined : copyStore(directory, deps)
    const membership =
      node === undefined || directory === undefined
        ? undefined
        : etcdMembership({
            etcd,
            keys: etcdLayout(prefix),
            name: node.name,
            nodeId: await nodeIdIn(directory, deps),
            clock,
            random: deps.random,
          })
    return etcdStore({ etcd, prefix, clock, localCopy, membership })
  } catch (error) {
    etcd.close()
    throw error
  }
}

/**
 * Opens what stands beside the keyring at `etcd:https://HOST:PORT[,…]/PREFIX`.
 *
 * @throws as {@link openEtcdStore}.
 */
export async function openEtcdAnnex(
  name: string,
  deps: StoreDeps & { readonly flags: EtcdStoreFlags },
): Promise<Annex> {
  const { access, prefix } = parseEtcdUrl(name, deps.flags, { cwd: deps.cwd, field: 'keyring' })
  const etcd = await openEtcd(access, { clock: systemClock, random: deps.random })
  return etcdAnnex(etcd, prefix)
}

/** What tells this node from another of its name: random, made once, kept beside its copy. */
async function nodeIdIn(directory: string, deps: StoreDeps): Promise<string> {
  const path = `${directory}/node-id`
  await makeDirectories(directory, { disk: deps.disk, mode: 0o700 })
  const id = utf8(`${toBase64Url(deps.random(16))}\n`)
  await createFile(path, id, { disk: deps.disk, random: deps.random, mode: 0o600 })
  const bytes = await readGuardedFile(path, {
    uid: deps.uid,
    forbiddenMode: 0o022,
    title: 'node id',
    code: 'ERR_KEYRING_UNSAFE',
    maxBytes: 64,
    oversizeCode: 'ERR_MEMBER_INVALID',
  })
  const text = Buffer.from(bytes ?? []).toString('latin1')
  if (nodeIdPattern.test(text)) return text.trimEnd()
  throw new LatchkeyError('ERR_MEMBER_INVALID', `${path} is not the id of a node`, {
    hint: 'remove the file: the node joins anew once its former sign of life has run out',
  })
}
