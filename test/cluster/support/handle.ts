import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { parse } from 'yaml'
import type { EncryptedCluster } from '../../e2e/support/encrypted-cluster.ts'
import type { Ground } from '../../e2e/support/ground.ts'
import type { Keyring } from '../../e2e/support/keyring.ts'

/** What tests, which are processes of their own, must know of the cluster. */
export interface Handle {
  /** Directory of everything that the node and its cluster write. */
  readonly directory: string
  /** Logs of the cluster's own processes. */
  readonly logs: string
  readonly controlGroup: string
  /** URL of the API server. */
  readonly server: string
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string
  readonly etcd: {
    readonly endpoint: string
    readonly files: { readonly ca: string; readonly cert: string; readonly key: string }
  }
  /** Of the plugin that the API server encrypts with. */
  readonly keyring: Pick<Keyring, 'dir' | 'root'>
}

/** Writes the handle of a running cluster to `file`. */
export async function writeHandle(
  file: string,
  options: {
    readonly directory: string
    readonly controlGroup: string
    readonly ground: Ground
    readonly cluster: EncryptedCluster
  },
): Promise<void> {
  const { directory, controlGroup, ground, cluster } = options
  const { server, etcd, keyring } = cluster
  const [endpoint = ''] = etcd.endpoints
  const handle: Handle = {
    directory,
    logs: ground.dir,
    controlGroup,
    server: server.url,
    kubeconfig: server.kubeconfig,
    etcd: { endpoint, files: etcd.clientFiles },
    keyring: { dir: keyring.dir, root: keyring.root },
  }
  await writeFile(file, JSON.stringify(handle), { mode: 0o600 })
}

/** Reads the handle that the runner left for this process. */
export function readHandle(): Handle {
  const file = process.env['LATCHKEY_CLUSTER'] ?? ''
  if (file === '') throw new Error('these tests are run by: npm run test:cluster [-- FILE]')
  return JSON.parse(readFileSync(file, 'utf8')) as Handle
}

/** The authority and the identity that a kubeconfig of ours holds. */
export function credentialsOf(kubeconfig: string): {
  readonly ca: string
  readonly identity: { readonly cert: string; readonly key: string }
} {
  const config = parse(readFileSync(kubeconfig, 'utf8')) as {
    readonly clusters: readonly { cluster: Readonly<Record<string, string>> }[]
    readonly users: readonly { user: Readonly<Record<string, string>> }[]
  }
  const text = (from: Readonly<Record<string, string>> | undefined, key: string): string =>
    Buffer.from(from?.[key] ?? '', 'base64').toString()
  const user = config.users[0]?.user
  return {
    ca: text(config.clusters[0]?.cluster, 'certificate-authority-data'),
    identity: {
      cert: text(user, 'client-certificate-data'),
      key: text(user, 'client-key-data'),
    },
  }
}
