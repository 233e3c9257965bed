import { resolve } from 'node:path'
import { parseHostPort, printHostPort, type HostPort } from '../../base/address.ts'
import { LatchkeyError } from '../../base/errors.ts'

/** How to reach one etcd cluster. */
export interface EtcdAccess {
  /** Members, at least one; any that answers will do. */
  readonly endpoints: readonly HostPort[]
  /** Absolute paths of PEM files; `undefined` without TLS, which only loopback addresses may have. */
  readonly tls: EtcdTlsFiles | undefined
}

/** Files that TLS takes. */
export interface EtcdTlsFiles {
  /** Authorities that may have signed the members' certificates; by default those of the system. */
  readonly ca: string | undefined
  /** The client's certificate chain and private key; both or neither. */
  readonly identity: { readonly cert: string; readonly key: string } | undefined
}

/** The files as they are named on the command line. */
export interface EtcdFileFlags {
  readonly etcdCa?: string | undefined
  readonly etcdCert?: string | undefined
  readonly etcdKey?: string | undefined
}

/** The flags `--etcd`, `--etcd-ca`, `--etcd-cert` and `--etcd-key`. */
export interface EtcdFlags extends EtcdFileFlags {
  /** Each names the members of one cluster, joined by commas. */
  readonly etcd: readonly string[]
}

/** Most members that one URL may name. */
const maxEndpoints = 16

/**
 * Reads the etcd flags: one access for each `--etcd`.
 *
 * @throws `ERR_USAGE` when there is no `--etcd`, or one of certificate and key alone;
 * `ERR_CONFIG_INVALID` for a URL that is none.
 */
export function parseEtcdFlags(flags: EtcdFlags, cwd: string): readonly EtcdAccess[] {
  if (flags.etcd.length === 0) {
    throw new LatchkeyError('ERR_USAGE', '--etcd is missing', {
      hint: 'name the members of etcd, as in --etcd https://10.0.0.1:2379,https://10.0.0.2:2379',
    })
  }
  return flags.etcd.map((urls) => access(parseEndpoints(urls, 'etcd'), flags, cwd))
}

/**
 * Reads `etcd:https://HOST:PORT[,…]/PREFIX`. The prefix is an absolute path without a slash at its end.
 *
 * @throws as {@link parseEtcdFlags}; also when the prefix is missing, empty or not well-formed.
 */
export function parseEtcdUrl(
  text: string,
  files: EtcdFileFlags,
  options: { readonly cwd: string; readonly field: string },
): { readonly access: EtcdAccess; readonly prefix: string } {
  const match = /^etcd:(https?:\/\/[^/,]+(?:,(?:https?:\/\/)?[^/,]+)*)(\/.*)$/.exec(text)
  const [, urls = '', path = ''] = match ?? []
  const prefix = path.replace(/\/$/, '')
  if (!/^(\/[A-Za-z0-9._-]+){1,16}$/.test(prefix) || prefix.length > 256) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${options.field} names no prefix in etcd`, {
      hint: 'write etcd:https://HOST:PORT[,HOST:PORT…]/PREFIX, as in etcd:https://10.0.0.1:2379/latchkey',
    })
  }
  if (prefix === '/registry' || prefix.startsWith('/registry/')) {
    throw new LatchkeyError(
      'ERR_CONFIG_INVALID',
      `${options.field} has a prefix that is the API server's`,
      { hint: 'name another, such as /latchkey' },
    )
  }
  return { access: access(parseEndpoints(urls, options.field), files, options.cwd), prefix }
}

interface Endpoints {
  readonly tls: boolean
  readonly endpoints: readonly HostPort[]
}

/** `https://H:P,https://H:P` or, shorter, `https://H:P,H:P`. */
function parseEndpoints(text: string, field: string): Endpoints {
  const parts = text.split(',')
  const tls = text.startsWith('https://')
  const scheme = tls ? 'https://' : 'http://'
  if (!text.startsWith(scheme)) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${field} is not https://HOST:PORT`, {
      hint: 'name the members of etcd, as in https://10.0.0.1:2379,https://10.0.0.2:2379',
    })
  }
  const hosts = parts.map((part) => {
    const bare = part.startsWith(scheme) ? part.slice(scheme.length) : part
    return parseHostPort(bare.replace(/\/$/, ''), field)
  })
  if (hosts.length > maxEndpoints) {
    throw new LatchkeyError(
      'ERR_CONFIG_INVALID',
      `${field} names more than ${maxEndpoints} members`,
    )
  }
  const remote = hosts.find(({ host }) => !isLoopback(host))
  if (!tls && remote !== undefined) {
    throw new LatchkeyError(
      'ERR_CONFIG_INVALID',
      `${field} has ${printHostPort(remote)} without TLS`,
      { hint: 'use https://: http:// is for loopback addresses alone' },
    )
  }
  const distinct = new Map(hosts.map((host) => [printHostPort(host), host]))
  return { tls, endpoints: [...distinct.values()] }
}

function access({ tls, endpoints }: Endpoints, files: EtcdFileFlags, cwd: string): EtcdAccess {
  const { etcdCa: ca, etcdCert: cert, etcdKey: key } = files
  if ((cert === undefined) !== (key === undefined)) {
    throw new LatchkeyError('ERR_USAGE', '--etcd-cert and --etcd-key go together', {
      hint: 'give both, or neither',
    })
  }
  if (!tls) return { endpoints, tls: undefined }
  const identity =
    cert === undefined || key === undefined
      ? undefined
      : { cert: resolve(cwd, cert), key: resolve(cwd, key) }
  return { endpoints, tls: { ca: ca === undefined ? undefined : resolve(cwd, ca), identity } }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9.]+$/.test(host)
}

/** The members as they are named in messages. */
export function printEndpoints({ endpoints, tls }: EtcdAccess): string {
  const scheme = tls === undefined ? 'http' : 'https'
  return endpoints.map((endpoint) => `${scheme}://${printHostPort(endpoint)}`).join(',')
}
