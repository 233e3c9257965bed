import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeIdentity } from '../authority.ts'
import { binary } from '../binaries.ts'
import { startChild } from '../child.ts'
import type { ClusterIdentity } from '../cluster-identity.ts'
import type { Ground } from '../ground.ts'
import { addresses, nodeName } from './addresses.ts'
import { componentConfig } from './control-plane.ts'

/** Starts the kubelet, whose node is ready some seconds later. */
export async function startKubelet(
  ground: Ground,
  options: {
    readonly identity: ClusterIdentity
    /** URL of the API server. */
    readonly server: string
    /** Path of containerd's socket. */
    readonly runtime: string
    /** Control group that all pods are in, e.g. `/latchkey-cluster-4711`. */
    readonly controlGroup: string
  },
): Promise<void> {
  const { identity, server, runtime, controlGroup } = options
  const user = `system:node:${nodeName}`
  const serving = await writeIdentity(
    identity.dir,
    'kubelet',
    await identity.authority.issue({
      commonName: user,
      organization: 'system:nodes',
      hosts: [nodeName, addresses.node],
      use: ['server'],
    }),
  )
  const resolver = join(ground.dir, 'kubelet-resolv.conf')
  await writeFile(resolver, `nameserver ${addresses.dns}\n`)
  const config = join(ground.dir, 'kubelet.yaml')
  const settings = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: addresses.node,
    readOnlyPort: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: identity.files.ca },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.cert,
    tlsPrivateKeyFile: serving.key,
    containerRuntimeEndpoint: `unix://${runtime}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: controlGroup,
    // The machine's own business.
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    clusterDomain: 'cluster.local',
    clusterDNS: [addresses.dns],
    resolvConf: resolver,
    registerNode: true,
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
  }
  // JSON is YAML too.
  await writeFile(config, JSON.stringify(settings, undefined, 2))
  startChild(ground, {
    name: 'kubelet',
    command: await binary('kubelet'),
    args: [
      `--config=${config}`,
      `--kubeconfig=${await componentConfig(identity, { name: 'kubelet', server, user, group: 'system:nodes' })}`,
      ...[`--hostname-override=${nodeName}`, `--node-ip=${addresses.node}`],
      ...['--root-dir=/var/lib/kubelet', '--v=2'],
    ],
  })
}
