import { createPrivateKey, randomUUID, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { serviceAccountIssuer } from './api-server-flags.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
import { collection, type Kubernetes } from './kubernetes.ts'

/**
 * A token as TokenRequest makes it (KEP-1205: claims and signature, bound to a live Pod), but for a
 * few seconds only: the API server itself issues none for less than ten minutes. It is signed with
 * the cluster's own key, so the API server verifies it, its end included, like any other.
 */
export async function shortToken(
  pod: { readonly namespace: string; readonly account: string; readonly name: string },
  options: {
    readonly identity: ClusterIdentity
    readonly admin: Kubernetes
    readonly audience: string
    readonly seconds: number
  },
): Promise<{ readonly token: string; readonly expiresAtMs: number }> {
  const { identity, admin, audience, seconds } = options
  const { namespace, account, name } = pod
  const uidOf = async (plural: string, of: string): Promise<string> =>
    (await admin.get(collection('v1', plural, namespace), of)).metadata.uid ?? ''
  const now = Math.floor(Date.now() / 1_000)
  const claims = {
    iss: serviceAccountIssuer,
    aud: [audience],
    sub: `system:serviceaccount:${namespace}:${account}`,
    ...{ iat: now, nbf: now, exp: now + seconds },
    jti: randomUUID(),
    'kubernetes.io': {
      namespace,
      pod: { name, uid: await uidOf('pods', name) },
      serviceaccount: { name: account, uid: await uidOf('serviceaccounts', account) },
    },
  }
  const signed = [{ alg: 'ES256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const key = createPrivateKey(await readFile(identity.files.serviceAccountPrivateKey))
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return {
    token: `${signed}.${signature.toString('base64url')}`,
    expiresAtMs: claims.exp * 1_000,
  }
}
