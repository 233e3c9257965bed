import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { type Authority, createAuthority, writeIdentity } from './authority.ts'
import { type Child, startChild } from './child.ts'
import type { EncryptedCluster } from './encrypted-cluster.ts'
import type { Ground } from './ground.ts'
import { collection, type Kubernetes, type KubernetesObject } from './kubernetes.ts'
import { untilGranted } from './rights.ts'
import { GivenUp, until } from './until.ts'

const project = join(import.meta.dirname, '..', '..', '..')
const rbacGroup = 'rbac.authorization.k8s.io'
const rbac = `${rbacGroup}/v1`

/** Verbs on things of the core group, as a Role has them. */
const rule = (resources: readonly string[], verbs: readonly string[], apiGroup = ''): object => ({
  apiGroups: [apiGroup],
  resources,
  verbs,
})

/** A namespace with an account `web`, an administrator of its own, and leave for the broker. */
export interface Shop {
  readonly namespace: string
  /** The namespace's administrator: what users grant, they grant as this one. */
  readonly owner: Kubernetes
  grant(secret: string): Promise<void>
  revoke(secret: string): Promise<void>
  /** Grants `mount` on every Secret of the namespace. */
  grantAll(): Promise<void>
  /** Creates a Pod of account `web`. */
  pod(name: string, annotations?: Readonly<Record<string, string>>): Promise<void>
  /** A token as the kubelet asks for one; without a pod, one bound to nothing. */
  token(pod: string | undefined, options?: { audience?: string; seconds?: number }): Promise<string>
}

/**
 * Prepares a namespace. Its owner has ClusterRole `admin` and nothing else where a controller manager
 * aggregates it (`aggregated`). Elsewhere each part of it is bound, `latchkey-mount-admin` among them.
 */
export async function createShop(
  cluster: EncryptedCluster,
  namespace: string,
  { aggregated = false }: { readonly aggregated?: boolean } = {},
): Promise<Shop> {
  const { admin } = cluster.server
  const bindings = collection(rbac, 'rolebindings', namespace)
  const roles = collection(rbac, 'roles', namespace)
  const pods = collection('v1', 'pods', namespace)
  const ownerName = `${namespace}-owner`
  const bind = async (name: string, role: string, subject: object): Promise<void> => {
    await admin.create(bindings, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [subject],
    })
  }
  const user = { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: ownerName }
  await admin.create(collection('v1', 'namespaces'), { metadata: { name: namespace } })
  await admin.create(collection('v1', 'serviceaccounts', namespace), {
    metadata: { name: 'web' },
    automountServiceAccountToken: false,
  })
  const parts = ['view', 'edit', 'admin'].map((part) => `system:aggregate-to-${part}`)
  for (const role of aggregated ? ['admin'] : [...parts, 'latchkey-mount-admin']) {
    await bind(`owner-${role.replaceAll(':', '-')}`, role, user)
  }
  await bind('broker', 'latchkey-broker-namespace', {
    kind: 'ServiceAccount',
    name: 'latchkey-broker',
    namespace: 'latchkey-system',
  })
  const brokers = { namespace, verb: 'watch', resource: 'secrets' }
  await untilGranted(admin, 'system:serviceaccount:latchkey-system:latchkey-broker', brokers)
  // What is aggregated comes when the controller manager has seen to it.
  if (!aggregated) {
    const grants = { namespace, verb: 'create', resource: 'rolebindings', group: rbacGroup }
    await untilGranted(admin, ownerName, grants)
  }
  const owner = await cluster.server.as({ name: ownerName })
  return {
    namespace,
    owner,
    grant: async (secret) => {
      const name = `mount-${secret}`
      await owner
        .create(roles, {
          metadata: { name },
          rules: [{ ...rule(['secrets'], ['mount']), resourceNames: [secret] }],
        })
        .catch(ignoreExisting)
      await owner.create(bindings, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
        subjects: [{ kind: 'ServiceAccount', name: 'web', namespace }],
      })
    },
    grantAll: async () => {
      const name = 'mount-all'
      await owner.create(roles, { metadata: { name }, rules: [rule(['secrets'], ['mount'])] })
      await owner.create(bindings, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
        subjects: [{ kind: 'ServiceAccount', name: 'web', namespace }],
      })
    },
    revoke: (secret) => owner.delete(bindings, `mount-${secret}`),
    pod: async (name, annotations = {}) => {
      await admin.create(pods, {
        metadata: { name, annotations },
        spec: { serviceAccountName: 'web', containers: [{ name: 'app', image: 'none' }] },
      })
    },
    token: async (pod, { audience = 'latchkey', seconds = 3_600 } = {}) => {
      const boundObjectRef =
        pod === undefined
          ? undefined
          : {
              apiVersion: 'v1',
              kind: 'Pod',
              name: pod,
              uid: (await admin.get(pods, pod)).metadata.uid,
            }
      const answer = await admin.create(
        `${collection('v1', 'serviceaccounts', namespace)}/web/token`,
        {
          metadata: { name: 'web' },
          spec: { audiences: [audience], expirationSeconds: seconds, boundObjectRef },
        },
      )
      return (answer['status'] as { token: string }).token
    },
  }
}

function ignoreExisting(error: unknown): void {
  if ((error as { status?: number }).status !== 409) throw error
}

/** Makes the ClusterRoles of an install, and a kubeconfig for the broker's service account. */
export async function installDelivery(ground: Ground, cluster: EncryptedCluster): Promise<string> {
  const { admin, kubeconfig } = cluster.server
  const clusterRoles = collection(rbac, 'clusterroles')
  const watch = ['get', 'list', 'watch']
  await admin.create(collection('v1', 'namespaces'), { metadata: { name: 'latchkey-system' } })
  const accounts = collection('v1', 'serviceaccounts', 'latchkey-system')
  await admin.create(accounts, { metadata: { name: 'latchkey-broker' } })
  // This one is the install's own.
  const mountAdmin = await readFile(join(project, 'deploy', 'cluster', 'mount-admin.yaml'), 'utf8')
  await admin.create(clusterRoles, parse(mountAdmin) as KubernetesObject)
  await admin.create(clusterRoles, {
    metadata: { name: 'latchkey-broker' },
    rules: [
      rule(['tokenreviews'], ['create'], 'authentication.k8s.io'),
      rule(['subjectaccessreviews'], ['create'], 'authorization.k8s.io'),
      rule(
        ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
        watch,
        'rbac.authorization.k8s.io',
      ),
      rule(['serviceaccounts'], watch),
    ],
  })
  await admin.create(clusterRoles, {
    metadata: { name: 'latchkey-broker-namespace' },
    rules: [rule(['secrets', 'pods'], watch), rule(['events'], ['create'])],
  })
  await admin.create(collection(rbac, 'clusterrolebindings'), {
    metadata: { name: 'latchkey-broker' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'latchkey-broker',
    },
    subjects: [{ kind: 'ServiceAccount', name: 'latchkey-broker', namespace: 'latchkey-system' }],
  })
  const answer = await admin.create(`${accounts}/latchkey-broker/token`, {
    metadata: { name: 'latchkey-broker' },
    spec: { expirationSeconds: 86_400 },
  })
  const config = JSON.parse(await readFile(kubeconfig, 'utf8')) as { users: object[] }
  const { token } = answer['status'] as { token: string }
  const path = join(ground.dir, 'broker.kubeconfig')
  const mine = { ...config, users: [{ name: 'e2e', user: { token } }] }
  await writeFile(path, JSON.stringify(mine), { mode: 0o600 })
  return path
}

/** A broker as a process. */
export interface RunningBroker {
  readonly child: Child
  readonly address: string
  /** Path of its certificate authority. */
  readonly ca: string
  readonly authority: Authority
  metrics(): Promise<string>
  audit(): Promise<readonly Readonly<Record<string, unknown>>[]>
}

/** Starts `latchkey-broker` and returns when it listens. */
export async function startBroker(
  ground: Ground,
  options: {
    readonly name: string
    readonly host: string
    readonly kubeconfig: string
    readonly authority?: Authority
    /** More names and addresses for its certificate. */
    readonly hosts?: readonly string[]
    readonly flags?: readonly string[]
  },
): Promise<RunningBroker> {
  const dir = join(ground.dir, options.name)
  await mkdir(dir, { mode: 0o700, recursive: true })
  const authority = options.authority ?? (await createAuthority('latchkey'))
  const hosts = [options.host, ...(options.hosts ?? [])]
  const subject = { commonName: 'broker', hosts, use: ['server' as const] }
  const files = await writeIdentity(dir, 'tls', await authority.issue(subject))
  const ca = join(dir, 'ca.crt')
  await writeFile(ca, authority.cert)
  const address = `${options.host}:8443`
  const child = startChild(ground, {
    name: options.name,
    command: process.execPath,
    args: [
      join(project, 'cmd', 'broker.ts'),
      ...['--listen', address, '--metrics', `${options.host}:9464`],
      ...['--tls-cert', files.cert, '--tls-key', files.key, '--source', 'kubernetes'],
      ...['--kubeconfig', options.kubeconfig, '--audit', join(dir, 'audit.jsonl')],
      ...['--log-level', 'debug', ...(options.flags ?? [])],
    ],
  })
  await until(
    `${options.name} to listen`,
    () => {
      if (!child.running()) throw new GivenUp(child.stderr())
      return child.stderr().includes('broker.listening')
    },
    { timeoutMs: 20_000 },
  )
  return {
    child,
    address,
    ca,
    authority,
    metrics: async () => (await fetch(`http://${options.host}:9464/metrics`)).text(),
    audit: async () => {
      const text = await readFile(join(dir, 'audit.jsonl'), 'utf8')
      const lines = text.split('\n').filter((line) => line !== '')
      return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    },
  }
}

/** A pod as far as delivery goes: its token, its sidecar, and the directory that stands for its files. */
export interface RunningSidecar {
  readonly child: Child
  /** Path in the pod to a path on this machine. */
  path(inPod: string): string
  /** Content of a file, or `undefined` when there is none. */
  read(inPod: string): Promise<string | undefined>
  writeToken(token: string): Promise<void>
}

/** Starts `latchkey-sidecar`. */
export async function startSidecar(
  ground: Ground,
  options: {
    readonly name: string
    readonly broker: Pick<RunningBroker, 'address' | 'ca'>
    readonly token: string
    /** The list of the annotation `latchkey.dev/secrets`. */
    readonly secrets: string
    readonly flags?: readonly string[]
  },
): Promise<RunningSidecar> {
  const dir = join(ground.dir, options.name)
  const root = join(dir, 'root')
  await mkdir(root, { mode: 0o700, recursive: true })
  const token = join(dir, 'token')
  const secrets = join(dir, 'secrets.yaml')
  await writeFile(token, options.token, { mode: 0o600 })
  await writeFile(secrets, options.secrets)
  const child = startChild(ground, {
    name: options.name,
    command: process.execPath,
    args: [
      join(project, 'cmd', 'sidecar.ts'),
      ...['--broker', options.broker.address, '--ca', options.broker.ca],
      ...['--token', token, '--secrets', secrets, '--root', root, '--log-level', 'debug'],
      ...(options.flags ?? []),
    ],
  })
  return {
    child,
    path: (inPod) => join(root, inPod),
    read: (inPod) => readFile(join(root, inPod), 'utf8').catch(() => undefined),
    writeToken: async (next) => {
      await writeFile(`${token}.new`, next, { mode: 0o600 })
      await rename(`${token}.new`, token)
    },
  }
}
