import { SecretBytes } from '../base/secret.ts'
import type { StoredSecret } from './secret-object.ts'

/**
 * A Secret as a JSON manifest that `kubectl apply -f` takes. It has what someone declares: name,
 * namespace, labels, annotations, type, immutability and data. It leaves out what a cluster made of
 * it: uid, versions, times, managed fields, and owners and finalizers, which in another cluster would
 * have it deleted, or keep it from being deleted.
 *
 * The bytes are made without a string of their content.
 */
export function secretManifest(secret: StoredSecret): SecretBytes {
  const head = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: secret.name,
      namespace: secret.namespace,
      ...(secret.labels.size === 0 ? {} : { labels: Object.fromEntries(secret.labels) }),
      ...(secret.annotations.size === 0 ? {} : { annotations: kept(secret.annotations) }),
    },
    ...(secret.type === '' ? {} : { type: secret.type }),
    ...(secret.immutable ? { immutable: true } : {}),
  }
  const opening = JSON.stringify(head, null, 2).replace(/\n\}$/, ',\n  "data": {')
  const entries = [...secret.data]
  const parts: Uint8Array[] = [Buffer.from(opening)]
  for (const [index, [name, value]] of entries.entries()) {
    const comma = index === 0 ? '' : ','
    parts.push(Buffer.from(`${comma}\n    ${JSON.stringify(name)}: "`), base64(value))
    parts.push(Buffer.from('"'))
  }
  parts.push(Buffer.from(entries.length === 0 ? '}\n}\n' : '\n  }\n}\n'))
  const manifest = Buffer.alloc(parts.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const part of parts) {
    manifest.set(part, at)
    at += part.byteLength
    part.fill(0)
  }
  return SecretBytes.take(manifest)
}

/** Holds a copy of the data, which `kubectl apply` would take for what was applied last. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

function kept(annotations: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...annotations].filter(([name]) => name !== lastApplied))
}

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const padding = 0x3d

/** Base64 (RFC 4648 §4) as bytes, which can be wiped, unlike a string. */
function base64(bytes: Uint8Array): Uint8Array {
  const text = Buffer.alloc(Math.ceil(bytes.byteLength / 3) * 4, padding)
  for (let from = 0, to = 0; from < bytes.byteLength; from += 3, to += 4) {
    const [a = 0, b, c] = bytes.subarray(from, from + 3)
    const group = (a << 16) | ((b ?? 0) << 8) | (c ?? 0)
    const used = b === undefined ? 2 : c === undefined ? 3 : 4
    for (let index = 0; index < used; index += 1) {
      text[to + index] = alphabet[(group >>> (18 - 6 * index)) & 0x3f] ?? padding
    }
  }
  return text
}
