import { FakeKubernetes } from './fake-kubernetes.ts'
import { loopClock } from './loop-clock.ts'

/** A pod of a {@link FakeCluster}. */
export interface FakePod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly account: string
}

type Json = Readonly<Record<string, unknown>>

/**
 * What surrounds a broker in a cluster, on top of a {@link FakeKubernetes}: pods, tokens bound to
 * them, Secrets, and grants of `mount` whose bindings cause events, as real ones do.
 */
export class FakeCluster {
  readonly kubernetes: FakeKubernetes
  /** How long the authorizer goes on answering as before after a grant has changed. */
  authorizerLagMs = 0
  readonly #tokens = new Map<string, Json>()
  readonly #grants = new Map<string, number>()
  readonly #withdrawn = new Map<string, number>()
  #serial = 0

  constructor(kubernetes: FakeKubernetes) {
    this.kubernetes = kubernetes
    kubernetes.reviewToken = (spec) => {
      const review = this.#tokens.get(String(spec['token']))
      const { audiences, exp, pod } = (review ?? {}) as {
        audiences?: string[]
        exp?: number
        pod?: FakePod
      }
      const wanted = spec['audiences'] as readonly string[]
      const common = wanted.filter((it) => audiences?.includes(it))
      if (review === undefined || common.length === 0 || (exp ?? 0) * 1000 <= Date.now()) {
        return { authenticated: false, error: 'no' }
      }
      // The API server itself refuses the token of a pod that is gone.
      if (pod !== undefined && !this.#has(pod)) return { authenticated: false, error: 'gone' }
      return { authenticated: true, audiences: common, user: review['user'] }
    }
    kubernetes.allow = (spec) => {
      const { verb, resource, namespace, name } = spec['resourceAttributes'] as Record<
        string,
        string
      >
      if (verb === 'list' && resource === 'pods') return String(spec['user']).startsWith('admin')
      const key = `${String(spec['user'])} ${namespace ?? ''}/${name ?? ''}`
      if (verb !== 'mount' || resource !== 'secrets') return false
      const now = loopClock.monotonicMs()
      const granted = (this.#grants.get(key) ?? Infinity) + this.authorizerLagMs <= now
      const still = now < (this.#withdrawn.get(key) ?? -Infinity) + this.authorizerLagMs
      return granted || still
    }
  }

  addPod(
    pod: Partial<FakePod> = {},
    changes: { readonly spec?: Json; readonly status?: Json; readonly annotations?: Json } = {},
  ): FakePod {
    this.#serial += 1
    const whole = {
      namespace: 'shop',
      name: `web-${this.#serial}`,
      uid: `uid-${this.#serial}`,
      account: 'web',
      ...pod,
    }
    this.kubernetes.put(`/api/v1/namespaces/${whole.namespace}/pods`, {
      metadata: { name: whole.name, uid: whole.uid, annotations: changes.annotations ?? {} },
      spec: { serviceAccountName: whole.account, nodeName: 'node-1', ...changes.spec },
      status: { phase: 'Running', podIP: '127.0.0.1', ...changes.status },
    })
    return whole
  }

  removePod(pod: FakePod): void {
    this.kubernetes.remove(`/api/v1/namespaces/${pod.namespace}/pods`, pod.name)
  }

  /** A token as TokenRequest makes one for a pod; with `bound` false, for its account alone. */
  token(
    pod: FakePod,
    options: {
      readonly audience?: string
      readonly seconds?: number
      readonly bound?: boolean
      readonly user?: string
    } = {},
  ): string {
    this.#serial += 1
    const exp = Date.now() / 1000 + (options.seconds ?? 3_600)
    const encode = (value: unknown): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url')
    const token = `${encode({ alg: 'none' })}.${encode({ exp, n: this.#serial })}.c2ln`
    const prefix = 'authentication.kubernetes.io'
    const bound = options.bound ?? true
    this.#tokens.set(token, {
      audiences: [options.audience ?? 'latchkey'],
      exp,
      ...(bound ? { pod } : {}),
      user: {
        username: options.user ?? `system:serviceaccount:${pod.namespace}:${pod.account}`,
        uid: `sa-${pod.account}`,
        groups: ['system:serviceaccounts', 'system:authenticated'],
        extra: bound
          ? {
              [`${prefix}/pod-name`]: [pod.name],
              [`${prefix}/pod-uid`]: [pod.uid],
              [`${prefix}/node-name`]: ['node-1'],
              [`${prefix}/credential-id`]: [`JTI=${this.#serial}`],
            }
          : {},
      },
    })
    return token
  }

  revokeToken(token: string): void {
    this.#tokens.delete(token)
  }

  /** Makes a Role and RoleBinding, as far as events go. */
  grant(account: string, secret: string, namespace = 'shop'): void {
    this.#grants.set(
      `system:serviceaccount:${namespace}:${account} ${namespace}/${secret}`,
      loopClock.monotonicMs(),
    )
    const name = `${account}-${secret.replace(':', '-')}`
    this.kubernetes.put(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      metadata: { name },
    })
  }

  revoke(account: string, secret: string, namespace = 'shop'): void {
    const key = `system:serviceaccount:${namespace}:${account} ${namespace}/${secret}`
    this.#grants.delete(key)
    this.#withdrawn.set(key, loopClock.monotonicMs())
    const name = `${account}-${secret.replace(':', '-')}`
    this.kubernetes.remove(
      `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
      name,
    )
  }

  setSecret(
    name: string,
    values: Readonly<Record<string, string | Buffer>>,
    namespace = 'shop',
  ): void {
    const data = Object.entries(values).map(([key, value]) => [
      key,
      Buffer.from(value).toString('base64'),
    ])
    this.kubernetes.put(`/api/v1/namespaces/${namespace}/secrets`, {
      metadata: { name },
      data: Object.fromEntries(data) as Json,
    })
  }

  removeSecret(name: string, namespace = 'shop'): void {
    this.kubernetes.remove(`/api/v1/namespaces/${namespace}/secrets`, name)
  }

  #has({ namespace, name, uid }: FakePod): boolean {
    const pod = this.kubernetes.get(`/api/v1/namespaces/${namespace}/pods`, name)
    return pod?.metadata['uid'] === uid
  }
}
