import { fromUtf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { readFields } from '../base/protobuf.ts'

/**
 * How the data encryption key comes from what the plugin unwraps: it is the key itself (`aes-gcm`,
 * the default of Kubernetes 1.27 and 1.28), or a seed for one key an object (`hkdf-aes-gcm`).
 */
export type DekSourceType = 'aes-gcm' | 'hkdf-aes-gcm'

/** `EncryptedObject` of k8s.io/apiserver (pkg/storage/value/encrypt/envelope/kmsv2/v2/api.proto). */
export interface EncryptedObject {
  readonly encryptedData: Uint8Array
  /** Not empty. */
  readonly keyId: string
  /** What the plugin made of key or seed; not empty. */
  readonly encryptedDekSource: Uint8Array
  readonly annotations: ReadonlyMap<string, Uint8Array>
  readonly dekSourceType: DekSourceType
}

const nothing = new Uint8Array()
const types: Readonly<Record<number, DekSourceType>> = { 0: 'aes-gcm', 1: 'hkdf-aes-gcm' }

/**
 * Takes an `EncryptedObject` apart; byte values are views of `message`. What the API server would
 * refuse for its form (`ValidateEncryptedObject`) is refused here.
 *
 * @throws `ERR_MESSAGE_INVALID`.
 */
export function readEncryptedObject(message: Uint8Array): EncryptedObject {
  let [encryptedData, encryptedDekSource]: [Uint8Array, Uint8Array] = [nothing, nothing]
  let [keyId, type]: [string | undefined, number] = ['', 0]
  const annotations = new Map<string, Uint8Array>()
  for (const field of readFields(message)) {
    if (field.kind === 'varint' && field.number === 5) type = field.value
    if (field.kind !== 'bytes') continue
    if (field.number === 1) encryptedData = field.value
    if (field.number === 2) keyId = fromUtf8(field.value)
    if (field.number === 3) encryptedDekSource = field.value
    if (field.number === 4) readAnnotation(field.value, annotations)
  }
  const dekSourceType = types[type]
  if (
    keyId === undefined ||
    keyId === '' ||
    dekSourceType === undefined ||
    encryptedDekSource.byteLength === 0 ||
    encryptedData.byteLength === 0
  ) {
    throw invalid()
  }
  return { encryptedData, keyId, encryptedDekSource, annotations, dekSourceType }
}

function readAnnotation(entry: Uint8Array, into: Map<string, Uint8Array>): void {
  let [name, value]: [string | undefined, Uint8Array] = ['', nothing]
  for (const field of readFields(entry)) {
    if (field.kind !== 'bytes') continue
    if (field.number === 1) name = fromUtf8(field.value)
    if (field.number === 2) value = field.value
  }
  if (name === undefined) throw invalid()
  into.set(name, value)
}

function invalid(): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', 'the bytes are no EncryptedObject')
}
