import { bytesField, countField, readFields, textField, writeFields } from './protobuf.ts'

// Messages of proto/kms/v2/api.proto and proto/kms/v1beta1/api.proto.

/** `v2.EncryptRequest`. */
export interface EncryptRequest {
  /** A view of the message. */
  readonly plaintext: Buffer
  /** Names the request in the API server's log. */
  readonly uid: string
}

/** `v2.DecryptRequest`. */
export interface DecryptRequest {
  /** A view of the message. */
  readonly ciphertext: Buffer
  readonly uid: string
  readonly keyId: string
  /** How many annotations came; what they say is of no interest, as none is ours. */
  readonly annotations: number
}

/** `v2.StatusResponse`. */
export interface StatusResponse {
  readonly healthz: string
  readonly keyId: string
}

/** Each reader throws `ERR_MESSAGE_INVALID`. */
export const v2 = {
  readEncryptRequest: (message: Buffer): EncryptRequest => {
    const fields = readFields(message)
    return { plaintext: bytesField(fields, 1), uid: textField(fields, 2) }
  },
  readDecryptRequest: (message: Buffer): DecryptRequest => {
    const fields = readFields(message)
    return {
      ciphertext: bytesField(fields, 1),
      uid: textField(fields, 2),
      keyId: textField(fields, 3),
      annotations: countField(fields, 4),
    }
  },
  writeStatusResponse: ({ healthz, keyId }: StatusResponse): Buffer =>
    writeFields([
      [1, 'v2'],
      [2, healthz],
      [3, keyId],
    ]),
  writeEncryptResponse: (answer: {
    readonly ciphertext: Uint8Array
    readonly keyId: string
  }): Buffer =>
    writeFields([
      [1, answer.ciphertext],
      [2, answer.keyId],
    ]),
  writeDecryptResponse: (plaintext: Uint8Array): Buffer => writeFields([[1, plaintext]]),
}

/** Each reader throws `ERR_MESSAGE_INVALID`. The request's `version` is always `v1beta1` and not read. */
export const v1beta1 = {
  /** `plain` of an EncryptRequest or `cipher` of a DecryptRequest: a view of the message. */
  readRequest: (message: Buffer): Buffer => bytesField(readFields(message), 2),
  /** The API server requires `version` to be exactly `v1beta1`. */
  writeVersionResponse: (runtimeVersion: string): Buffer =>
    writeFields([
      [1, 'v1beta1'],
      [2, 'latchkey'],
      [3, runtimeVersion],
    ]),
  /** `cipher` of an EncryptResponse or `plain` of a DecryptResponse. */
  writeResponse: (bytes: Uint8Array): Buffer => writeFields([[1, bytes]]),
}
