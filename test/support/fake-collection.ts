import type { KubernetesClient } from '../../src/clients/kubernetes.ts'

/** One object of a {@link fakeCollection}. */
export interface FakeStored {
  readonly namespace: string
  readonly name: string
  uid: string
  version: number
  stale: boolean
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** What a test answers in the place of the collection: a status, and its body. */
export type Intercept = (
  method: string,
  path: string,
  query: Readonly<Record<string, string>>,
) =>
  { readonly status: number; readonly body?: unknown; readonly retryAfterMs?: number } | undefined

/**
 * `secrets` as an API server serves them to a migration: discovery, paged lists of metadata, and
 * patches that rewrite what is stale, leave alone what is not, and insist on the uid.
 */
export function fakeCollection(
  objects: FakeStored[],
  intercept: Intercept = () => undefined,
): KubernetesClient & { readonly asked: string[] } {
  const asked: string[] = []
  const meta = (it: FakeStored): unknown => ({
    metadata: {
      namespace: it.namespace,
      name: it.name,
      uid: it.uid,
      resourceVersion: String(it.version),
      ...it.metadata,
    },
  })
  const answer = (
    method: string,
    path: string,
    options: Parameters<KubernetesClient['exchange']>[2],
  ): { status: number; body?: unknown; retryAfterMs?: number } => {
    const query = options.query ?? {}
    asked.push(`${method} ${path}`)
    const intercepted = intercept(method, path, query)
    if (intercepted !== undefined) return intercepted
    if (path === '/api/v1') {
      const verbs = ['get', 'list', 'patch']
      return { status: 200, body: { resources: [{ name: 'secrets', namespaced: true, verbs }] } }
    }
    if (path === '/api/v1/secrets') {
      const from = Number(query['continue'] ?? '0')
      const to = from + Number(query['limit'])
      const items = objects.slice(from, to).map(meta)
      const left = Math.max(0, objects.length - to)
      const more = left > 0 ? { continue: String(to), remainingItemCount: left } : {}
      return { status: 200, body: { metadata: more, items } }
    }
    const [, namespace, name] = /^\/api\/v1\/namespaces\/(.+)\/secrets\/(.+)$/.exec(path) ?? []
    const found = objects.find((it) => it.namespace === namespace && it.name === name)
    if (found === undefined) return { status: 404, body: { reason: 'NotFound' } }
    if (method === 'GET') return { status: 200, body: meta(found) }
    const { uid } = (options.body as { metadata: { uid: string } }).metadata
    if (uid !== found.uid) {
      const details = { causes: [{ reason: 'FieldValueInvalid', field: 'metadata.uid' }] }
      return { status: 422, body: { reason: 'Invalid', details } }
    }
    if (found.stale && query['dryRun'] === undefined) {
      found.stale = false
      found.version += 1
    }
    return { status: 200, body: meta(found) }
  }
  return {
    asked,
    exchange: async (method, path, options) => {
      options.signal.throwIfAborted()
      await Promise.resolve()
      const { status, body = {}, retryAfterMs } = answer(method, path, options)
      return { status, retryAfterMs, dateMs: undefined, body: Buffer.from(JSON.stringify(body)) }
    },
    request: async (_method, path) => {
      if (!path.endsWith('/selfsubjectaccessreviews')) throw new Error(`unexpected ${path}`)
      const { status = 200 } = intercept('POST', path, {}) ?? {}
      return await Promise.resolve({ status: { allowed: status === 200 } })
    },
    lines: () => {
      throw new Error('a migration watches nothing')
    },
    dial: () => {
      throw new Error('a migration speaks HTTP')
    },
    close: () => undefined,
  }
}

/** `count` stale secrets in namespace shop, `s-0` onward. */
export function staleSecrets(count: number): FakeStored[] {
  return Array.from({ length: count }, (_, index) => ({
    namespace: 'shop',
    name: `s-${index}`,
    uid: `uid-${index}`,
    version: 1,
    stale: true,
  }))
}
