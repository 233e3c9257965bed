import { rename, writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'

/** One entry of a `providers` list, as the API server's documentation writes it. */
export type Provider =
  | { readonly identity: Readonly<Record<string, never>> }
  | { readonly secretbox: { readonly keys: readonly { name: string; secret: string }[] } }
  | {
      readonly kms: {
        readonly apiVersion: 'v1' | 'v2'
        readonly name: string
        readonly endpoint: string
        readonly timeout?: string
      }
    }

/** Resources, and the providers for them: the first writes, all read. */
export interface EncryptionRule {
  readonly resources: readonly string[]
  readonly providers: readonly Provider[]
}

/** Objects as they are. */
export const identityProvider: Provider = { identity: {} }

/** Our plugin behind `socket`. The name is part of what is stored and never changes. */
export function kmsProvider(socket: string, name = 'latchkey'): Provider {
  return { kms: { apiVersion: 'v2', name, endpoint: `unix://${socket}`, timeout: '3s' } }
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
