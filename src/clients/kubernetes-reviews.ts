import type { KubernetesClient } from './kubernetes.ts'
import { objectOf, textOf, textsOf, type JsonObject } from './kubernetes-objects.ts'

/** A user as the API server sees one; `extra` as it came, to be passed on verbatim. */
export interface UserInfo {
  readonly username: string
  readonly uid: string
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, readonly string[]>>
}

/** A token that the API server accepts, and for which audiences of those asked. */
export interface ReviewedToken {
  readonly audiences: readonly string[]
  readonly user: UserInfo
}

/**
 * Asks the API server who a token is (authentication.k8s.io/v1 TokenReview). `undefined` when it
 * does not accept the token. Whether the audiences of the answer contain the one asked for is the
 * caller's to check: an authenticator that knows no audiences answers with its own.
 *
 * @throws `ERR_KUBERNETES_*` when the question could not be answered.
 */
export async function reviewToken(
  client: KubernetesClient,
  question: { readonly token: string; readonly audience: string },
  signal: AbortSignal,
): Promise<ReviewedToken | undefined> {
  const answer = await client.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: question.token, audiences: [question.audience] },
    },
    signal,
  })
  const status = objectOf(objectOf(answer)['status'])
  if (status['authenticated'] !== true) return undefined
  const user = objectOf(status['user'])
  return {
    audiences: textsOf(status, 'audiences'),
    user: {
      username: textOf(user, 'username'),
      uid: textOf(user, 'uid'),
      groups: textsOf(user, 'groups'),
      extra: extraOf(objectOf(user['extra'])),
    },
  }
}

function extraOf(fields: JsonObject): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(Object.keys(fields).map((name) => [name, textsOf(fields, name)]))
}

/** What somebody wants to do to an object of the core API group. */
export interface AccessQuestion {
  readonly user: UserInfo
  readonly verb: string
  readonly resource: string
  readonly namespace: string
  /** Name of the object, or `''` for all of them. */
  readonly name: string
}

/**
 * Asks the API server whether a user may do something (authorization.k8s.io/v1
 * SubjectAccessReview). Only the answer's `allowed` counts: reasons and evaluation errors (a binding
 * that names a role which is gone has one) are for people.
 *
 * @throws `ERR_KUBERNETES_*` when the question could not be answered.
 */
export async function reviewAccess(
  client: KubernetesClient,
  question: AccessQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  return await askAccess(client, question, {
    path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    kind: 'SubjectAccessReview',
    metadata: {},
    signal,
  })
}

/**
 * As {@link reviewAccess}, by a LocalSubjectAccessReview, which those may create who administer the
 * question's namespace and nothing else.
 *
 * @throws `ERR_KUBERNETES_*` when the question could not be answered.
 */
export async function reviewLocalAccess(
  client: KubernetesClient,
  question: AccessQuestion,
  signal: AbortSignal,
): Promise<boolean> {
  const namespace = encodeURIComponent(question.namespace)
  return await askAccess(client, question, {
    path: `/apis/authorization.k8s.io/v1/namespaces/${namespace}/localsubjectaccessreviews`,
    kind: 'LocalSubjectAccessReview',
    metadata: { namespace: question.namespace },
    signal,
  })
}

/** A service account as the API server sees it when one of its tokens is used. */
export function serviceAccountUser(namespace: string, name: string): UserInfo {
  return {
    username: `system:serviceaccount:${namespace}:${name}`,
    uid: '',
    groups: [
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
      'system:authenticated',
    ],
    extra: {},
  }
}

async function askAccess(
  client: KubernetesClient,
  { user, verb, resource, namespace, name }: AccessQuestion,
  review: {
    readonly path: string
    readonly kind: string
    readonly metadata: JsonObject
    readonly signal: AbortSignal
  },
): Promise<boolean> {
  const { path, kind, metadata, signal } = review
  const answer = await client.request('POST', path, {
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind,
      metadata,
      spec: {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        resourceAttributes: { verb, group: '', version: 'v1', resource, namespace, name },
      },
    },
    signal,
  })
  return objectOf(objectOf(answer)['status'])['allowed'] === true
}
