import {
  credentials,
  loadPackageDefinition,
  status,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ExecutionContext } from 'ava'

const definition = loadPackageDefinition(
  loadSync(
    ['v2', 'v1beta1'].map(
      (name) => new URL(`../../proto/kms/${name}/api.proto`, import.meta.url).pathname,
    ),
    { keepCase: false, defaults: true },
  ),
) as unknown as Record<'v2' | 'v1beta1', { KeyManagementService: ServiceClientConstructor }>

/** What a call came to: the answer, or the name of the status and its message. */
export type KmsAnswer = Readonly<Record<string, unknown>> & {
  readonly code?: string
  readonly details?: string
}

/** A client of one KMS service, on a connection of its own, as the API server's is. */
export interface KmsClient {
  readonly call: (
    method: 'Status' | 'Encrypt' | 'Decrypt' | 'Version',
    request?: object,
    options?: { readonly deadlineMs?: number; readonly cancelAfterMs?: number },
  ) => Promise<KmsAnswer>
  readonly close: () => void
}

/** Connects to `socketPath`. */
export function kmsClient(
  t: ExecutionContext,
  socketPath: string,
  service: 'v2' | 'v1beta1' = 'v2',
): KmsClient {
  const client = new definition[service].KeyManagementService(
    `unix://${socketPath}`,
    credentials.createInsecure(),
    {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
      'grpc.max_send_message_length': -1,
    },
  )
  t.teardown(() => {
    client.close()
  })
  return {
    call: (method, request = {}, options = {}) =>
      new Promise((resolve) => {
        const deadline = Date.now() + (options.deadlineMs ?? 30_000)
        const unary = client[method] as unknown as (...args: readonly unknown[]) => {
          cancel: () => void
        }
        const call = unary.call(
          client,
          request,
          { deadline, waitForReady: true },
          (error: ServiceError | null, answer: KmsAnswer) => {
            if (error === null) resolve(answer)
            else resolve({ code: status[error.code], details: error.details })
          },
        )
        if (options.cancelAfterMs === 0) call.cancel()
        else if (options.cancelAfterMs !== undefined) {
          setTimeout(() => {
            call.cancel()
          }, options.cancelAfterMs)
        }
      }),
    close: () => {
      client.close()
    },
  }
}
