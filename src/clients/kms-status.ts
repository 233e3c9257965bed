import { Client, credentials, status as codes } from '@grpc/grpc-js'
import { fromUtf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'

/** What a KMS v2 plugin says of itself. */
export interface KmsStatus {
  readonly version: string
  readonly healthz: string
  readonly keyId: string
}

const fieldNames = ['version', 'healthz', 'keyId'] as const

/**
 * Asks the plugin on the unix socket `path` for its Status, as the API server does.
 *
 * @throws `ERR_DEADLINE` when there is no answer within `timeoutMs`; `ERR_IO` for a refusal or an
 * answer that is none.
 */
export async function askKmsStatus(path: string, timeoutMs: number): Promise<KmsStatus> {
  const client = new Client(`unix://${path}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  try {
    return await new Promise<KmsStatus>((resolve, reject) => {
      client.makeUnaryRequest(
        '/v2.KeyManagementService/Status',
        () => Buffer.alloc(0),
        decodeStatus,
        undefined,
        { deadline: Date.now() + timeoutMs },
        (error, status) => {
          if (status !== undefined) resolve(status)
          else if (error?.code === codes.DEADLINE_EXCEEDED)
            reject(new LatchkeyError('ERR_DEADLINE', 'no answer in time'))
          else reject(new LatchkeyError('ERR_IO', 'the call was refused', { cause: error }))
        },
      )
    })
  } finally {
    client.close()
  }
}

/** Reads `StatusResponse`: three text fields, numbers 1 to 3; text is short, so lengths are one or two bytes. */
function decodeStatus(bytes: Buffer): KmsStatus {
  const status = { version: '', healthz: '', keyId: '' }
  for (let at = 0; at < bytes.byteLength;) {
    const tag = bytes[at] ?? 0
    const [low, high] = [bytes[at + 1] ?? 0, bytes[at + 2] ?? 0]
    const long = low >= 0x80
    const length = long ? (low & 0x7f) | (high << 7) : low
    const begin = at + (long ? 3 : 2)
    const name = fieldNames[(tag >> 3) - 1]
    const text = fromUtf8(bytes.subarray(begin, begin + length))
    if ((tag & 7) !== 2 || (long && high >= 0x80) || name === undefined || text === undefined) {
      throw new TypeError('not a StatusResponse')
    }
    status[name] = text
    at = begin + length
  }
  return status
}
