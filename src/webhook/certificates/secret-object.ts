import { isLatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { objectOf, textOf, type Json, type JsonObject } from '../../injection/pod/json.ts'

/** A Secret as it was read, to be replaced as a whole or not at all. */
export interface SecretObject {
  readonly resourceVersion: string
  /** The bytes of a key, decoded; `undefined` when it has none, or nothing in it. */
  bytes(key: string): Buffer | undefined
  /**
   * Replaces its data. Of several who read the same state exactly one succeeds.
   *
   * @returns the Secret as it is now, or `undefined` when somebody else was first.
   * @throws `ERR_KUBERNETES_*`
   */
  replace(
    data: Readonly<Record<string, Uint8Array>>,
    signal: AbortSignal,
  ): Promise<SecretObject | undefined>
}

/**
 * Reads a Secret.
 *
 * @throws `ERR_KUBERNETES_*`
 */
export async function readSecretObject(
  client: KubernetesClient,
  place: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<SecretObject> {
  const path = `/api/v1/namespaces/${place.namespace}/secrets/${place.name}`
  return secretObject(client, path, (await client.request('GET', path, { signal })) as Json)
}

function secretObject(client: KubernetesClient, path: string, object: Json): SecretObject {
  const fields = objectOf(object)
  const metadata = objectOf(fields['metadata'])
  const data = objectOf(fields['data'])
  return {
    resourceVersion: textOf(metadata['resourceVersion']) ?? '',
    bytes: (key) => {
      const text = textOf(data[key]) ?? ''
      return text === '' ? undefined : Buffer.from(text, 'base64')
    },
    replace: async (next, signal) => {
      const body: JsonObject = { ...fields, data: encode(next) }
      try {
        return secretObject(
          client,
          path,
          (await client.request('PUT', path, { body, signal })) as Json,
        )
      } catch (error) {
        if (isLatchkeyError(error, 'ERR_KUBERNETES_CONFLICT')) return undefined
        throw error
      }
    },
  }
}

function encode(data: Readonly<Record<string, Uint8Array>>): JsonObject {
  const entries = Object.entries(data).map(([key, bytes]) => [
    key,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
  ])
  return Object.fromEntries(entries) as JsonObject
}
