import type { HttpsClient } from './https.ts'
import { type WatchEvent, watchEvents } from './watch.ts'

/** Any object of the API. */
export interface KubernetesObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
    readonly resourceVersion?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

/** A list of objects at one revision. */
export interface KubernetesList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
  readonly items: readonly KubernetesObject[]
}

/** A refusal by the API server, from its `Status` object. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError'
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(`${status} ${reason}: ${message}`)
    this.status = status
    this.reason = reason
  }
}

/** The part of the Kubernetes API that tests use, as one user. Paths are those of {@link collection}. */
export interface Kubernetes {
  get(path: string, name: string): Promise<KubernetesObject>
  list(path: string, query?: Readonly<Record<string, string>>): Promise<KubernetesList>
  create(path: string, object: KubernetesObject): Promise<KubernetesObject>
  /** Replaces (PUT) the object of the same name. */
  replace(path: string, object: KubernetesObject): Promise<KubernetesObject>
  /** JSON merge patch. */
  patch(
    path: string,
    name: string,
    change: Readonly<Record<string, unknown>>,
  ): Promise<KubernetesObject>
  delete(path: string, name: string): Promise<void>
  /** Events after `resourceVersion` until the signal is aborted. */
  watch(
    path: string,
    options: { resourceVersion: string; signal: AbortSignal },
  ): AsyncIterable<WatchEvent>
  /** Status code and text of any path that answers text, such as `/readyz` or `/metrics`. */
  text(path: string): Promise<{ status: number; body: string }>
}

/** Path of a collection: `collection('v1', 'secrets', 'shop')`, `collection('apps/v1', 'deployments')`. */
export function collection(apiVersion: string, resource: string, namespace?: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return namespace === undefined
    ? `${root}/${resource}`
    : `${root}/namespaces/${namespace}/${resource}`
}

/** The API as the user whose certificate `https` presents. */
export function createKubernetes(https: HttpsClient): Kubernetes {
  const call = async (
    method: string,
    path: string,
    options: { body?: unknown; contentType?: string } = {},
  ): Promise<unknown> => {
    const { status, body } = await https.call({
      method,
      path,
      headers: {
        accept: 'application/json',
        ...(options.body === undefined
          ? {}
          : { 'content-type': options.contentType ?? 'application/json' }),
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    })
    if (status >= 300) throw refusal(status, body)
    return JSON.parse(body)
  }
  return {
    get: async (path, name) => (await call('GET', `${path}/${name}`)) as KubernetesObject,
    list: async (path, query = {}) =>
      (await call('GET', `${path}?${new URLSearchParams(query).toString()}`)) as KubernetesList,
    create: async (path, object) =>
      (await call('POST', path, { body: object })) as KubernetesObject,
    replace: async (path, object) =>
      (await call('PUT', `${path}/${object.metadata.name}`, { body: object })) as KubernetesObject,
    patch: async (path, name, change) =>
      (await call('PATCH', `${path}/${name}`, {
        body: change,
        contentType: 'application/merge-patch+json',
      })) as KubernetesObject,
    delete: async (path, name) => {
      await call('DELETE', `${path}/${name}`)
    },
    watch: (path, { resourceVersion, signal }) =>
      watchEvents(https, `${path}?watch=1&resourceVersion=${resourceVersion}`, signal),
    text: async (path) => await https.call({ method: 'GET', path }),
  }
}

function refusal(status: number, body: string): KubernetesError {
  try {
    const { reason = '', message = '' } = JSON.parse(body) as { reason?: string; message?: string }
    return new KubernetesError(status, reason, message)
  } catch {
    return new KubernetesError(status, '', body.slice(0, 300))
  }
}
