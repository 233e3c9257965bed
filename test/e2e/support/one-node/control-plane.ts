import { join } from 'node:path'
import { type Identity, writeIdentity } from '../authority.ts'
import { binary } from '../binaries.ts'
import { startChild } from '../child.ts'
import type { ClusterIdentity } from '../cluster-identity.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../encrypted-cluster.ts'
import type { Ground } from '../ground.ts'
import { writeKubeconfig } from '../kubeconfig.ts'
import { addresses } from './addresses.ts'

/** etcd, our KMS plugin, and an API server that encrypts with it and finds the kubelet. */
export async function startApi(
  ground: Ground,
  identity: ClusterIdentity,
): Promise<EncryptedCluster> {
  const client = await writeIdentity(
    identity.dir,
    'kubelet-client',
    await identity.authority.issue({
      commonName: 'kube-apiserver-kubelet-client',
      organization: 'system:masters',
      use: ['client'],
    }),
  )
  return await startEncryptedCluster(ground, {
    identity,
    at: {
      host: addresses.node,
      alsoKnownAs: [addresses.apiServer, 'kubernetes.default.svc.cluster.local'],
    },
    flags: [
      // Service kubernetes/default leads here.
      '--endpoint-reconciler-type=lease',
      ...[`--kubelet-client-certificate=${client.cert}`, `--kubelet-client-key=${client.key}`],
      `--kubelet-certificate-authority=${identity.files.ca}`,
      '--kubelet-preferred-address-types=InternalIP',
    ],
  })
}

/** Starts the controllers and the scheduler. */
export async function startControllers(
  ground: Ground,
  identity: ClusterIdentity,
  server: string,
): Promise<void> {
  const { files } = identity
  for (const [name, args] of [
    [
      'kube-controller-manager',
      [
        '--use-service-account-credentials=true',
        `--service-account-private-key-file=${files.serviceAccountPrivateKey}`,
        `--root-ca-file=${files.ca}`,
      ],
    ],
    ['kube-scheduler', []],
  ] as const) {
    const config = await componentConfig(identity, { name, server })
    startChild(ground, {
      name,
      command: await binary(name),
      args: [
        ...['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map(
          (flag) => `--${flag}=${config}`,
        ),
        ...['--bind-address=127.0.0.1', '--leader-elect=false', '--v=1', ...args],
      ],
    })
  }
}

/** Writes a kubeconfig for a component of the cluster, as the user that RBAC knows it by. */
export async function componentConfig(
  identity: ClusterIdentity,
  component: {
    readonly name: string
    readonly server: string
    /** Default: `system:` and the name. */
    readonly user?: string
    readonly group?: string
  },
): Promise<string> {
  const { name, server, user = `system:${name}`, group } = component
  const who: Identity = await identity.authority.issue({
    commonName: user,
    ...(group === undefined ? {} : { organization: group }),
    use: ['client'],
  })
  const path = join(identity.dir, `${name}.kubeconfig`)
  await writeKubeconfig(path, { server, ca: identity.authority.cert, identity: who })
  return path
}
