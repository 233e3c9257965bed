import { readFile } from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** What a client shows and trusts: PEM texts and a bearer token, each `undefined` when not used. */
export interface ClusterCredentials {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly token: string | undefined
}

/** Where an API server is and how one gets in. */
export interface ClusterAccess {
  readonly server: URL
  /** Name to expect in the server's certificate when it is not the URL's. */
  readonly serverName: string | undefined
  /**
   * The credentials of the moment: what comes from files is read again, because others replace them
   * (the kubelet its tokens, operators their certificates).
   *
   * @param refused - whether the API server has refused the last ones; `false` by default
   * @throws `ERR_KUBERNETES_CONFIG`.
   */
  credentials(refused?: boolean): Promise<ClusterCredentials>
}

/** Where a pod finds its service account: KEP-1205, `/var/run/secrets/kubernetes.io/serviceaccount`. */
export const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * Access as the pod's own service account.
 *
 * @param options - `host` and `port` from `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`
 * @throws `ERR_KUBERNETES_CONFIG` when this is no pod.
 */
export function inClusterAccess(options: {
  readonly host: string | undefined
  readonly port: string | undefined
  readonly directory: string
}): ClusterAccess {
  const { host, port, directory } = options
  if (host === undefined || port === undefined || !/^[0-9]{1,5}$/.test(port)) {
    throw new LatchkeyError('ERR_KUBERNETES_CONFIG', 'this process does not run in a pod', {
      hint: 'outside of a cluster, name a kubeconfig with --kubeconfig',
    })
  }
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    serverName: undefined,
    credentials: async () => ({
      ca: await readCredential(`${directory}/ca.crt`),
      token: (await readCredential(`${directory}/token`)).trim(),
      cert: undefined,
      key: undefined,
    }),
  }
}

/**
 * A file of a credential as text.
 *
 * @throws `ERR_KUBERNETES_CONFIG`, naming the path only.
 */
export async function readCredential(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new LatchkeyError(
      'ERR_KUBERNETES_CONFIG',
      `${path} cannot be read: ${systemCode(error) ?? 'unknown error'}`,
      { cause: error },
    )
  }
}
