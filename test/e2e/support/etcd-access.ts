import { parseEtcdFlags, type EtcdAccess } from '../../../src/clients/etcd/flags.ts'
import type { Etcd } from './etcd.ts'

/** How our own client reaches `etcd`: with all its members, or those named, and with other files. */
export function etcdAccess(
  etcd: Pick<Etcd, 'endpoints' | 'clientFiles'>,
  options: { readonly urls?: string; readonly files?: Etcd['clientFiles'] } = {},
): EtcdAccess {
  const { ca, cert, key } = options.files ?? etcd.clientFiles
  const urls = options.urls ?? etcd.endpoints.join(',')
  const flags = { etcd: [urls], etcdCa: ca, etcdCert: cert, etcdKey: key }
  const [access] = parseEtcdFlags(flags, '/')
  if (access === undefined) throw new RangeError('no access')
  return access
}
