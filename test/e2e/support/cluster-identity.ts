import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Authority,
  type IdentityFiles,
  createAuthority,
  createSigningKey,
  writeIdentity,
} from './authority.ts'
import type { Ground } from './ground.ts'

/** What all API servers of one cluster share: whom they trust, and how they sign tokens. */
export interface ClusterIdentity {
  readonly dir: string
  /** Issues the certificates of API servers and of their clients. */
  readonly authority: Authority
  readonly files: {
    readonly ca: string
    /** CA of the aggregation layer's proxy, which must not be the clients' CA. */
    readonly frontProxyCa: string
    readonly frontProxy: IdentityFiles
    readonly serviceAccountPublicKey: string
    readonly serviceAccountPrivateKey: string
  }
}

/** Makes it in the ground's directory `pki`. */
export async function createClusterIdentity(ground: Ground): Promise<ClusterIdentity> {
  const dir = join(ground.dir, 'pki')
  await mkdir(dir, { mode: 0o700 })
  const [authority, frontProxy, signing] = await Promise.all([
    createAuthority('kubernetes'),
    createAuthority('front-proxy'),
    createSigningKey(),
  ])
  const files = {
    ca: join(dir, 'ca.crt'),
    frontProxyCa: join(dir, 'front-proxy-ca.crt'),
    frontProxy: await writeIdentity(
      dir,
      'front-proxy',
      await frontProxy.issue({ commonName: 'front-proxy-client', use: ['client'] }),
    ),
    serviceAccountPublicKey: join(dir, 'service-account.pub'),
    serviceAccountPrivateKey: join(dir, 'service-account.key'),
  }
  await writeFile(files.ca, authority.cert)
  await writeFile(files.frontProxyCa, frontProxy.cert)
  await writeFile(files.serviceAccountPublicKey, signing.publicKey)
  await writeFile(files.serviceAccountPrivateKey, signing.privateKey, { mode: 0o600 })
  return { dir, authority, files }
}
