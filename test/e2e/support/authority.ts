import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { webcrypto } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'

/** A certificate and its key, as PEM. */
export interface Identity {
  readonly cert: string
  readonly key: string
}

/** The same in files. */
export interface IdentityFiles {
  readonly cert: string
  readonly key: string
}

/** Who a certificate is for. */
export interface Subject {
  readonly commonName: string
  readonly organization?: string
  /** DNS names and IP addresses. */
  readonly hosts?: readonly string[]
  readonly use: readonly ('client' | 'server')[]
}

/** A certificate authority of a test's own. */
export interface Authority {
  /** Its certificate, as PEM. */
  readonly cert: string
  issue(subject: Subject): Promise<Identity>
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const usages: Record<'client' | 'server', ExtendedKeyUsage> = {
  client: ExtendedKeyUsage.clientAuth,
  server: ExtendedKeyUsage.serverAuth,
}

/** Makes an authority; its certificates are valid from an hour ago until tomorrow. */
export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await generateKeys()
  const name = `CN=${commonName}`
  const root = await X509CertificateGenerator.createSelfSigned({
    name,
    ...validity(),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  })
  return {
    cert: root.toString('pem'),
    issue: async ({ commonName: cn, organization, hosts = [], use }) => {
      const leaf = await generateKeys()
      const cert = await X509CertificateGenerator.create({
        subject: organization === undefined ? `CN=${cn}` : `CN=${cn}, O=${organization}`,
        issuer: name,
        ...validity(),
        signingAlgorithm: algorithm,
        publicKey: leaf.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new BasicConstraintsExtension(false, undefined, true),
          new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
          new ExtendedKeyUsageExtension(use.map((one) => usages[one])),
          ...(hosts.length === 0 ? [] : [alternativeNames(hosts)]),
        ],
      })
      return { cert: cert.toString('pem'), key: await privatePem(leaf) }
    },
  }
}

function alternativeNames(hosts: readonly string[]): SubjectAlternativeNameExtension {
  return new SubjectAlternativeNameExtension(
    hosts.map((host) => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host })),
  )
}

/** Writes certificate and key as `NAME.crt` and `NAME.key`, the key readable by its owner alone. */
export async function writeIdentity(
  dir: string,
  name: string,
  identity: Identity,
): Promise<IdentityFiles> {
  const files = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) }
  await writeFile(files.cert, identity.cert)
  await writeFile(files.key, identity.key, { mode: 0o600 })
  return files
}

/** A key pair as PEM, as the API server wants for signing service-account tokens. */
export async function createSigningKey(): Promise<{ publicKey: string; privateKey: string }> {
  const keys = await generateKeys()
  const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey)
  return { publicKey: PemConverter.encode(spki, 'PUBLIC KEY'), privateKey: await privatePem(keys) }
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function privatePem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return PemConverter.encode(pkcs8, 'PRIVATE KEY')
}

function validity(): { notBefore: Date; notAfter: Date } {
  const now = Date.now()
  return { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + 86_400_000) }
}
