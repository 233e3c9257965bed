import { Client, credentials, status as codes } from '@grpc/grpc-js'
import { randomUUID } from 'node:crypto'
import { LatchkeyError } from '../base/errors.ts'
import { readFields, WireMessage } from '../base/protobuf.ts'

/**
 * Asks the plugin on the unix socket `path` to decrypt, as the API server does. Returns the
 * plaintext, or `undefined` when the plugin answers and refuses: it does not have the key.
 *
 * @throws `ERR_DEADLINE` when there is no answer within `timeoutMs`; `ERR_IO` when nobody answers,
 * or the answer is none.
 */
export async function askKmsDecrypt(
  path: string,
  sealed: { readonly ciphertext: Uint8Array; readonly keyId: string },
  timeoutMs: number,
): Promise<Uint8Array | undefined> {
  const client = new Client(`unix://${path}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  const request = new WireMessage()
    .bytes(1, sealed.ciphertext)
    .text(2, randomUUID())
    .text(3, sealed.keyId)
    .encode()
  try {
    return await new Promise<Uint8Array | undefined>((resolve, reject) => {
      client.makeUnaryRequest(
        '/v2.KeyManagementService/Decrypt',
        (bytes: Buffer) => bytes,
        decodePlaintext,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, plaintext) => {
          if (plaintext !== undefined) resolve(plaintext)
          else if (error?.code === codes.DEADLINE_EXCEEDED)
            reject(new LatchkeyError('ERR_DEADLINE', 'no answer in time'))
          else if (error === null || error.code === codes.UNAVAILABLE)
            reject(new LatchkeyError('ERR_IO', 'nobody answers', { cause: error }))
          else resolve(undefined)
        },
      )
    })
  } finally {
    client.close()
  }
}

/** Reads `DecryptResponse`: the plaintext is its field 1. */
function decodePlaintext(message: Buffer): Uint8Array {
  let plaintext: Uint8Array = new Uint8Array()
  for (const field of readFields(message)) {
    if (field.number === 1 && field.kind === 'bytes') plaintext = field.value
  }
  return plaintext
}
