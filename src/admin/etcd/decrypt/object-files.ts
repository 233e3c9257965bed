import { SecretBytes } from '../../../base/secret.ts'
import type { StoredName } from '../../../storage/resource.ts'
import { secretManifest } from '../../../storage/secret-manifest.ts'
import { readStoredSecret } from '../../../storage/secret-object.ts'

/** One file of an extracted object. */
export interface ObjectFile {
  /** Path below the object's directory, `/` between names. */
  readonly path: string
  readonly bytes: SecretBytes
}

/** The files of one object. Disposing wipes them. */
export interface ObjectFiles extends Disposable {
  readonly files: readonly ObjectFile[]
}

/** The manifest of a Secret, for `kubectl apply -f`. */
export const manifestName = 'secret.json'

/**
 * What is written of an object: the bytes that the API server had stored, as they are
 * (`object.json`, `object.pb`, `object.cbor`), and of a Secret also a manifest and one file for each
 * key of its data. The stored bytes stay the caller's.
 *
 * @throws `ERR_STORED_MALFORMED` for a Secret that cannot be read.
 */
export function objectFiles(stored: SecretBytes): ObjectFiles {
  const bytes = stored.expose()
  const files: ObjectFile[] = [{ path: `object.${extensionOf(bytes)}`, bytes: stored.clone() }]
  const secret = readStoredSecret(bytes)
  if (secret !== undefined) {
    files.push({ path: manifestName, bytes: secretManifest(secret) })
    for (const [name, value] of secret.data) {
      files.push({ path: `data/${safeName(name)}`, bytes: SecretBytes.copyOf(value) })
    }
  }
  return {
    files,
    [Symbol.dispose]: () => {
      for (const file of files) file.bytes[Symbol.dispose]()
    },
  }
}

function extensionOf(bytes: Uint8Array): string {
  if (bytes[0] === 0x7b) return 'json'
  return bytes[0] === 0xd9 ? 'cbor' : 'pb'
}

/** The object's directory below the output: `RESOURCE/NAMESPACE/NAME`, or `RESOURCE/NAME`. */
export function objectDirectory({ resource, namespace, name }: StoredName): string {
  return [resource, ...(namespace === '' ? [] : [namespace]), name].map(safeName).join('/')
}

/**
 * A name as one part of a path. Names that Kubernetes allows stay as they are; of any others, which
 * whoever writes to etcd may choose, each odd byte becomes `%XX`, so that no two become one and none
 * leads elsewhere.
 */
export function safeName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._:-]/gu, (odd) =>
    [...Buffer.from(odd, 'utf8')].map(percent).join(''),
  )
  if (safe === '') return '%'
  return /^\.{1,2}$/.test(safe) ? safe.replaceAll('.', percent(0x2e)) : safe
}

function percent(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}
