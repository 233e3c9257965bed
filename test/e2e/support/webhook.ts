import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import type { ApiServer } from './api-server.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
import { type Child, startChild } from './child.ts'
import type { Ground } from './ground.ts'
import { collection, type KubernetesObject } from './kubernetes.ts'
import { writeKubeconfig } from './kubeconfig.ts'

const deploy = join(import.meta.dirname, '../../../deploy/cluster/webhook')
const checkout = join(import.meta.dirname, '../../../cmd/webhook.ts')
/** Name of both webhook configurations. */
export const configurationName = 'injector.latchkey.dev'
/** Where the webhook configurations are. */
export const configurations = {
  mutating: collection('admissionregistration.k8s.io/v1', 'mutatingwebhookconfigurations'),
  validating: collection('admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations'),
} as const

const resources: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Secret: 'secrets',
  MutatingWebhookConfiguration: 'mutatingwebhookconfigurations',
  ValidatingWebhookConfiguration: 'validatingwebhookconfigurations',
}

/** The objects of a file of the install. */
export async function installed(file: string): Promise<readonly KubernetesObject[]> {
  const text = await readFile(join(deploy, file), 'utf8')
  return parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject)
}

/** Creates what the install has for the webhook but its Deployment; calls go to `url`. */
export async function installWebhook(server: ApiServer, url: string): Promise<void> {
  const { admin } = server
  await admin.create(collection('v1', 'namespaces'), { metadata: { name: 'latchkey-system' } })
  for (const file of ['rbac.yaml', 'secrets.yaml', 'configuration.yaml']) {
    for (const object of await installed(file)) await admin.create(pathOf(object), at(object, url))
  }
}

/** The collection that an object of the install belongs to. */
export function pathOf({ apiVersion = 'v1', kind = '', metadata }: KubernetesObject): string {
  return collection(apiVersion, resources[kind] ?? '', metadata.namespace)
}

/** A webhook configuration as the install has it, with calls to `url` instead of the Service. */
export function at(object: KubernetesObject, url: string): KubernetesObject {
  const webhooks = object['webhooks'] as Readonly<Record<string, unknown>>[] | undefined
  if (webhooks === undefined) return object
  return { ...object, webhooks: webhooks.map((each) => ({ ...each, clientConfig: { url } })) }
}

/** A running webhook, with the rights of the install and no others. */
export interface WebhookProcess extends Child {
  /** Path of its audit file. */
  readonly audit: string
  readonly metrics: string
}

/** Starts `latchkey-webhook` as its service account; it listens on `host`, port 8443. */
export async function startWebhook(
  ground: Ground,
  options: {
    readonly server: ApiServer
    readonly identity: ClusterIdentity
    readonly host: string
    readonly config?: Readonly<Record<string, unknown>>
    /** Path of the program. Default: that of the checkout. */
    readonly program?: string
    readonly env?: Readonly<Record<string, string>>
  },
): Promise<WebhookProcess> {
  const { server, identity, host, program = checkout } = options
  const id = `webhook-${randomUUID().slice(0, 8)}`
  const files = {
    kubeconfig: join(ground.dir, `${id}.kubeconfig`),
    config: join(ground.dir, `${id}.yaml`),
    audit: join(ground.dir, `${id}.audit`),
  }
  await writeKubeconfig(files.kubeconfig, {
    server: server.url,
    ca: identity.authority.cert,
    identity: await identity.authority.issue({
      commonName: 'system:serviceaccount:latchkey-system:latchkey-webhook',
      use: ['client'],
    }),
  })
  await writeFile(
    files.config,
    stringify({
      listen: `${host}:8443`,
      metrics: `${host}:9090`,
      namespace: 'latchkey-system',
      drain: '0s',
      sidecar: { image: 'latchkey' },
      certificates: { 'webhook-names': [webhookAddress(ground)] },
      ...options.config,
    }),
  )
  const child = startChild(ground, {
    name: id,
    command: process.execPath,
    ...(options.env === undefined ? {} : { env: options.env }),
    args: [
      ...[program, '--config', files.config, '--kubeconfig', files.kubeconfig],
      ...['--audit', files.audit],
    ],
  })
  return { ...child, audit: files.audit, metrics: `http://${host}:9090` }
}

/** The address by which the API server calls the webhook. */
export function webhookAddress(ground: Ground): string {
  return ground.host(20)
}
