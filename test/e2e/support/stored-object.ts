/** What the API server stores for one object under a KMS v2 provider. */
export interface StoredObject {
  /** Name of the provider in the EncryptionConfiguration. */
  readonly provider: string
  /** Key id that the plugin gave with the seed. */
  readonly keyId: string
  /** The seed as the plugin encrypted it: our envelope. */
  readonly encryptedSeed: Buffer
  readonly annotations: number
}

const prefix = 'k8s:enc:kms:v2:'

/**
 * Reads the value of an etcd key, as `k8s:enc:kms:v2:NAME:` and then the protobuf message
 * `EncryptedObject` of k8s.io/apiserver; `undefined` when it does not begin so.
 */
export function readStoredObject(value: Buffer): StoredObject | undefined {
  if (value.subarray(0, prefix.length).toString('latin1') !== prefix) return undefined
  const colon = value.indexOf(':', prefix.length)
  if (colon < 0) throw new Error('stored object has no provider name')
  let keyId = ''
  let encryptedSeed: Buffer = Buffer.alloc(0)
  let annotations = 0
  for (const { field, bytes } of readFields(value.subarray(colon + 1))) {
    if (field === 2) keyId = bytes.toString()
    if (field === 3) encryptedSeed = bytes
    if (field === 4) annotations += 1
  }
  return {
    provider: value.toString('latin1', prefix.length, colon),
    keyId,
    encryptedSeed,
    annotations,
  }
}

/** The fields of a protobuf message that has varints (given as no bytes) and byte strings alone. */
function* readFields(message: Buffer): Generator<{ field: number; bytes: Buffer }> {
  let at = 0
  const varint = (): number => {
    let result = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = message.readUInt8(at)
      at += 1
      result += (byte & 0x7f) * shift
      if (byte < 0x80) return result
    }
  }
  while (at < message.length) {
    const tag = varint()
    const [field, wireType] = [Math.floor(tag / 8), tag % 8]
    if (wireType === 0) {
      varint()
      yield { field, bytes: Buffer.alloc(0) }
    } else if (wireType === 2) {
      const length = varint()
      yield { field, bytes: message.subarray(at, at + length) }
      at += length
    } else {
      throw new Error(`wire type ${wireType} is not part of EncryptedObject`)
    }
  }
}
