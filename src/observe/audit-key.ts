import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { LatchkeyError } from '../base/errors.ts'

/**
 * Reads the key that signs checkpoints: an Ed25519 private key, PKCS #8 in PEM, as
 * `openssl genpkey -algorithm ed25519` makes one.
 *
 * @throws `ERR_AUDIT_KEY`, without a cause: a parser's error may quote what it read.
 */
export function parseAuditKey(pem: Uint8Array): KeyObject {
  let key: KeyObject | undefined
  try {
    key = createPrivateKey(Buffer.from(pem))
  } catch {
    key = undefined
  }
  if (key?.asymmetricKeyType === 'ed25519') return key
  throw new LatchkeyError('ERR_AUDIT_KEY', 'the audit key is not an Ed25519 private key in PEM', {
    hint: 'make one with: openssl genpkey -algorithm ed25519 -out audit.key',
  })
}

/**
 * A key for one run of a process. Its public half is in the chain's first line and in the log, so
 * that a chain which somebody made up later, with a key of their own, does not fit the log.
 */
export function createAuditKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey
}
