import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../binaries.ts'
import { startChild } from '../child.ts'
import type { ClusterIdentity } from '../cluster-identity.ts'
import type { Ground } from '../ground.ts'
import { collection, type Kubernetes } from '../kubernetes.ts'
import { addresses, nodeName } from './addresses.ts'
import { componentConfig } from './control-plane.ts'

const rbac = 'rbac.authorization.k8s.io'

/** Starts kube-proxy and CoreDNS, so that Services are reached by name. */
export async function startServices(
  ground: Ground,
  options: {
    readonly identity: ClusterIdentity
    readonly server: string
    readonly admin: Kubernetes
  },
): Promise<void> {
  await startKubeProxy(ground, options)
  await startCoreDns(ground, options)
}

type Options = Parameters<typeof startServices>[1]

async function startKubeProxy(ground: Ground, { identity, server }: Options): Promise<void> {
  const config = join(ground.dir, 'kube-proxy.yaml')
  const settings = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: {
      kubeconfig: await componentConfig(identity, { name: 'kube-proxy', server }),
    },
    hostnameOverride: nodeName,
    mode: 'iptables',
    clusterCIDR: addresses.pods,
    // Else it sets them for the whole machine.
    conntrack: {
      ...{ maxPerCore: 0, min: 0 },
      ...{ tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    },
    iptables: { localhostNodePorts: false, minSyncPeriod: '100ms', syncPeriod: '30s' },
  }
  await writeFile(config, JSON.stringify(settings, undefined, 2))
  startChild(ground, {
    name: 'kube-proxy',
    command: await binary('kube-proxy'),
    args: [`--config=${config}`, '--v=1'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  })
}

async function startCoreDns(ground: Ground, options: Options): Promise<void> {
  const { identity, server, admin } = options
  const name = 'system:coredns'
  await admin.create(collection(`${rbac}/v1`, 'clusterroles'), {
    metadata: { name },
    rules: [
      {
        apiGroups: [''],
        resources: ['services', 'pods', 'namespaces'],
        verbs: ['list', 'watch'],
      },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  })
  await admin.create(collection(`${rbac}/v1`, 'clusterrolebindings'), {
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
    subjects: [{ apiGroup: rbac, kind: 'User', name }],
  })
  await admin.create(collection('v1', 'services', 'kube-system'), {
    metadata: { name: 'kube-dns' },
    spec: {
      clusterIP: addresses.dns,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  })
  await admin.create(collection('discovery.k8s.io/v1', 'endpointslices', 'kube-system'), {
    metadata: { name: 'kube-dns-node', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [addresses.node], conditions: { ready: true } }],
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ],
  })
  const config = join(ground.dir, 'Corefile')
  await writeFile(config, corefile(await componentConfig(identity, { name: 'coredns', server })))
  startChild(ground, { name: 'coredns', command: await binary('coredns'), args: ['-conf', config] })
}

// Two blocks: in one, `template` would answer before `kubernetes` is asked. There is no world outside.
const corefile = (kubeconfig: string): string => `
.:53 {
  bind ${addresses.node}
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
  bind ${addresses.node}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${kubeconfig}
    pods insecure
    ttl 5
  }
}
`
