import {
  type ServiceError,
  type ServiceClientConstructor,
  credentials,
  loadPackageDefinition,
} from '@grpc/grpc-js'
import { load } from '@grpc/proto-loader'
import { join } from 'node:path'

/** A KMS v2 client as an API server is one, for calls that an API server does not make on request. */
export interface KmsClient {
  status(): Promise<{ readonly version: string; readonly healthz: string; readonly keyId: string }>
  encrypt(plaintext: Uint8Array): Promise<{ readonly ciphertext: Buffer; readonly keyId: string }>
  decrypt(sealed: { readonly ciphertext: Uint8Array; readonly keyId: string }): Promise<Buffer>
  close(): void
}

const proto = join(import.meta.dirname, '..', '..', '..', 'proto', 'kms', 'v2', 'api.proto')

type Unary = (
  request: unknown,
  options: { deadline: Date },
  callback: (error: ServiceError | null, response: unknown) => void,
) => void

/** Connects to the plugin on `socket`. Like the API server, calls wait for a connection, 3 s at most. */
export async function connectKms(socket: string, timeoutMs = 3000): Promise<KmsClient> {
  const definition = await load(proto, { longs: Number, defaults: true })
  const { v2 } = loadPackageDefinition(definition) as unknown as {
    v2: { KeyManagementService: ServiceClientConstructor }
  }
  const client = new v2.KeyManagementService(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 20,
    'grpc.max_reconnect_backoff_ms': 100,
  })
  const call = async <Response>(method: string, request: unknown): Promise<Response> =>
    await new Promise((resolve, reject) => {
      const deadline = new Date(Date.now() + timeoutMs)
      client.waitForReady(deadline, (unconnected) => {
        if (unconnected !== undefined) {
          reject(unconnected)
          return
        }
        const unary = (client[method] as Unary).bind(client)
        unary(request, { deadline }, (error, response) => {
          if (error === null) resolve(response as Response)
          else reject(error)
        })
      })
    })
  return {
    status: async () => await call('Status', {}),
    encrypt: async (plaintext) => await call('Encrypt', { plaintext, uid: crypto.randomUUID() }),
    decrypt: async (sealed) =>
      (await call<{ plaintext: Buffer }>('Decrypt', { ...sealed, uid: crypto.randomUUID() }))
        .plaintext,
    close: () => {
      client.close()
    },
  }
}
