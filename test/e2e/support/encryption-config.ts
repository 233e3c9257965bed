import { randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'

/** One entry of a `providers` list, as the API server's documentation writes it. */
export type Provider =
  | { readonly identity: Readonly<Record<string, never>> }
  | { readonly secretbox: LocalKeys }
  | { readonly aesgcm: LocalKeys }
  | { readonly aescbc: LocalKeys }
  | {
      readonly kms: {
        readonly apiVersion: 'v1' | 'v2'
        readonly name: string
        readonly endpoint: string
        readonly timeout?: string
      }
    }

/** Keys that stand in the configuration itself. */
export interface LocalKeys {
  readonly keys: readonly { readonly name: string; readonly secret: string }[]
}

/** Resources, and the providers for them: the first writes, all read. */
export interface EncryptionRule {
  readonly resources: readonly string[]
  readonly providers: readonly Provider[]
}

/** Objects as they are. */
export const identityProvider: Provider = { identity: {} }

/**
 * Our plugin behind `socket`. The name is part of what is stored and never changes. `timeout` is how
 * long the API server waits for an answer; default: what the guide says.
 */
export function kmsProvider(socket: string, name = 'latchkey', timeout = '3s'): Provider {
  return { kms: { apiVersion: 'v2', name, endpoint: `unix://${socket}`, timeout } }
}

/** A provider with one random key of its own in the configuration. */
export function localProvider(
  kind: 'secretbox' | 'aesgcm' | 'aescbc',
  options: { readonly name?: string; readonly keyBytes?: 16 | 24 | 32 } = {},
): Provider {
  const { name = `${kind}-key`, keyBytes = 32 } = options
  const keys = [{ name, secret: randomBytes(keyBytes).toString('base64') }]
  // A computed name alone would widen the type to any key.
  return { [kind]: { keys } } as unknown as Provider
}

/** Our plugin under KMS v1, which API servers take with `--feature-gates=KMSv1=true`. */
export function kmsV1Provider(socket: string, name = 'latchkey-v1'): Provider {
  return { kms: { apiVersion: 'v1', name, endpoint: `unix://${socket}`, timeout: '3s' } }
}

/** Writes an EncryptionConfiguration so that a reader sees the old file or the new one. */
export async function writeEncryptionConfig(
  path: string,
  rules: readonly EncryptionRule[],
): Promise<void> {
  const document = stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: rules,
  })
  await writeFile(`${path}.new`, document, { mode: 0o600 })
  await rename(`${path}.new`, path)
}
