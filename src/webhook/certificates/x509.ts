import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509'
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import { nameConstraints } from './name-constraints.ts'

/** A certificate and its private key. */
export interface KeyedCertificate extends Disposable {
  /** PEM. */
  readonly certificate: string
  /** PKCS#8, DER. */
  readonly key: SecretBytes
}

/** From when to when a certificate is valid, milliseconds since 1970. */
export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/**
 * Makes a certificate authority that can vouch for `names` alone: a stolen key signs nothing that
 * another client would believe (RFC 5280, section 4.2.1.10).
 */
export async function makeAuthority(
  names: readonly string[],
  options: { readonly validity: Validity; readonly random: RandomBytes },
): Promise<KeyedCertificate> {
  const keys = await generate()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=latchkey authority',
    serialNumber: serial(options.random),
    ...dates(options.validity),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      nameConstraints(names),
    ],
  })
  return keyed(certificate.toString('pem'), await exportKey(keys))
}

/** Makes a server certificate for `names`, signed by `authority`. */
export async function makeLeaf(
  names: readonly string[],
  options: {
    readonly authority: KeyedCertificate
    readonly validity: Validity
    readonly random: RandomBytes
  },
): Promise<KeyedCertificate> {
  const { authority } = options
  const keys = await generate()
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    authority.key.expose(),
    algorithm,
    false,
    ['sign'],
  )
  const issuer = new X509Certificate(authority.certificate)
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(
      names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
    ),
    await AuthorityKeyIdentifierExtension.create(
      await webcrypto.subtle.importKey(
        'spki',
        issuer.publicKey.export({ type: 'spki', format: 'der' }),
        algorithm,
        true,
        ['verify'],
      ),
    ),
  ]
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=latchkey',
    issuer: 'CN=latchkey authority',
    serialNumber: serial(options.random),
    ...dates(options.validity),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions,
  })
  return keyed(certificate.toString('pem'), await exportKey(keys))
}

/** What is told of a certificate. */
export interface CertificateFacts extends Validity {
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  /** DNS names and addresses that it is for. */
  readonly names: readonly string[]
}

/**
 * Reads a certificate, the first of the text.
 *
 * @throws `ERR_TLS_INVALID`
 */
export function readCertificate(pem: string): CertificateFacts {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(pem)
  } catch {
    throw new LatchkeyError('ERR_TLS_INVALID', 'not a certificate in PEM')
  }
  const names = (certificate.subjectAltName ?? '').split(', ').flatMap((entry) => {
    const [, value] = /^(?:DNS|IP Address):(.+)$/.exec(entry) ?? []
    return value === undefined ? [] : [value]
  })
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    names,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  }
}

/** Whether `authority` signed `leaf`; both PEM. */
export function isSignedBy(leaf: string, authority: string): boolean {
  return new X509Certificate(leaf).verify(new X509Certificate(authority).publicKey)
}

/** Whether a private key, PEM, belongs to a certificate, PEM. */
export function isKeyOf(key: Uint8Array, certificate: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(Buffer.from(key)))
  } catch {
    return false
  }
}

/** A private key as PEM, in bytes that the caller wipes. */
export function keyPem(key: SecretBytes): Buffer {
  const base64 = Buffer.from(key.expose()).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return Buffer.from(
    `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`,
  )
}

/** A certificate with its key, which disposal wipes. */
export function keyed(certificate: string, key: SecretBytes): KeyedCertificate {
  return {
    certificate: certificate.endsWith('\n') ? certificate : `${certificate}\n`,
    key,
    [Symbol.dispose]: () => {
      key[Symbol.dispose]()
    },
  }
}

async function generate(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function exportKey(keys: webcrypto.CryptoKeyPair): Promise<SecretBytes> {
  return SecretBytes.take(
    new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)),
  )
}

/** 16 random bytes as a positive integer without leading zeros (RFC 5280, section 4.1.2.2). */
function serial(random: RandomBytes): string {
  const bytes = random(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return Buffer.from(bytes).toString('hex')
}

function dates({ notBeforeMs, notAfterMs }: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) }
}
