import {
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { load } from '@grpc/proto-loader'
import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'

const proto = join(import.meta.dirname, '..', '..', 'proto', 'kms', 'v2', 'api.proto')
const deadlineMs = 20_000

/** One Status, one Encrypt and one Decrypt, as soon as something answers on the socket. */
export async function exerciseKms(socket: string): Promise<void> {
  const { v2 } = loadPackageDefinition(await load(proto)) as unknown as {
    v2: { KeyManagementService: ServiceClientConstructor }
  }
  const client = new v2.KeyManagementService(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 50,
  })
  const deadline = new Date(Date.now() + deadlineMs)
  const call = async (method: string, request: object): Promise<Record<string, unknown>> =>
    await new Promise((resolve, reject) => {
      const unary = client[method] as (
        request: object,
        options: { deadline: Date },
        callback: (error: ServiceError | null, response: Record<string, unknown>) => void,
      ) => void
      unary.call(client, request, { deadline }, (error, response) => {
        if (error === null) resolve(response)
        else reject(error)
      })
    })
  try {
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(deadline, (error) => {
        if (error === undefined) resolve()
        else reject(error)
      })
    })
    await call('Status', {})
    const plaintext = randomBytes(32)
    const sealed = await call('Encrypt', { plaintext, uid: randomUUID() })
    const opened = await call('Decrypt', { ...sealed, uid: randomUUID() })
    if (!plaintext.equals(opened['plaintext'] as Buffer)) {
      throw new Error('the plugin did not give back what it had sealed')
    }
  } finally {
    client.close()
  }
}
