import { isIPv4 } from 'node:net'
import type { IdentityFiles } from './authority.ts'
import type { ClusterIdentity } from './cluster-identity.ts'
import type { Etcd } from './etcd.ts'

/** The issuer in service-account tokens, and their default audience. */
export const serviceAccountIssuer = 'https://kubernetes.default.svc.cluster.local'

/** The command line of one API server, hardened as an installed one is. */
export function apiServerFlags(options: {
  readonly host: string
  readonly port: number
  readonly serving: IdentityFiles
  readonly identity: ClusterIdentity
  readonly etcd: Pick<Etcd, 'endpoints' | 'clientFiles'>
  readonly encryptionConfig: string | undefined
}): readonly string[] {
  const { host, port, serving, identity, etcd, encryptionConfig } = options
  if (!isIPv4(host)) throw new TypeError('host must be an IPv4 address')
  const { files } = identity
  return [
    ...[`--bind-address=${host}`, `--advertise-address=${host}`, `--secure-port=${port}`],
    ...[`--tls-cert-file=${serving.cert}`, `--tls-private-key-file=${serving.key}`],
    // who
    ...['--anonymous-auth=false', `--client-ca-file=${files.ca}`],
    `--service-account-issuer=${serviceAccountIssuer}`,
    `--service-account-signing-key-file=${files.serviceAccountPrivateKey}`,
    `--service-account-key-file=${files.serviceAccountPublicKey}`,
    ...[
      `--requestheader-client-ca-file=${files.frontProxyCa}`,
      '--requestheader-allowed-names=front-proxy-client',
    ],
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    ...[
      `--proxy-client-cert-file=${files.frontProxy.cert}`,
      `--proxy-client-key-file=${files.frontProxy.key}`,
    ],
    // may
    ...['--authorization-mode=Node,RBAC', '--enable-admission-plugins=NodeRestriction'],
    // where
    `--etcd-servers=${etcd.endpoints.join(',')}`,
    `--etcd-cafile=${etcd.clientFiles.ca}`,
    ...[`--etcd-certfile=${etcd.clientFiles.cert}`, `--etcd-keyfile=${etcd.clientFiles.key}`],
    // The Service `kubernetes` has no endpoints: those may not be loopback addresses.
    ...['--service-cluster-ip-range=10.96.0.0/16', '--endpoint-reconciler-type=none'],
    ...(encryptionConfig === undefined
      ? []
      : [
          `--encryption-provider-config=${encryptionConfig}`,
          '--encryption-provider-config-automatic-reload=true',
        ]),
    ...['--profiling=false', '--v=1'],
  ]
}
