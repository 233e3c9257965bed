import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { load } from '@grpc/proto-loader'
import { join } from 'node:path'
import { quantile } from './figures.ts'
import { usageOf } from './process-usage.ts'

/** One method under load. */
export interface LoadResult {
  readonly calls: number
  readonly perSecond: number
  /** Server CPU per call, µs. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
}

type Unary = (request: object, callback: (error: Error | null, response: unknown) => void) => void

/** A client that calls one KMS v2 server as fast as it answers. */
export interface KmsLoad {
  once(method: string, request: object): Promise<Record<string, unknown>>
  /** `calls` calls of `method`, `inFlight` at a time; `pid` is the server's process. */
  run(options: {
    readonly method: string
    readonly request: object
    readonly calls: number
    readonly inFlight: number
    readonly pid: number
  }): Promise<LoadResult>
  close(): void
}

const proto = join(import.meta.dirname, '..', '..', 'proto', 'kms', 'v2', 'api.proto')

/** Connects to the server on `socket`, waiting up to 15 s for it. */
export async function connectLoad(socket: string): Promise<KmsLoad> {
  const { v2 } = loadPackageDefinition(await load(proto)) as unknown as {
    v2: { KeyManagementService: ServiceClientConstructor }
  }
  const client = new v2.KeyManagementService(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 2,
    'grpc.min_reconnect_backoff_ms': 2,
    'grpc.max_reconnect_backoff_ms': 5,
  })
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + 15_000, (error) => {
      if (error === undefined) resolve()
      else reject(error)
    })
  })
  const once = (method: string, request: object): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      ;(client[method] as Unary).call(client, request, (error, response) => {
        if (error === null) resolve(response as Record<string, unknown>)
        else reject(error)
      })
    })
  return {
    once,
    run: async ({ method, request, calls, inFlight, pid }) => {
      const latencies: number[] = []
      let started = 0
      const worker = async (): Promise<void> => {
        while (started < calls) {
          started += 1
          const begin = performance.now()
          await once(method, request)
          latencies.push((performance.now() - begin) * 1000)
        }
      }
      const before = usageOf(pid).cpuMs
      const begin = performance.now()
      await Promise.all(Array.from({ length: inFlight }, worker))
      const seconds = (performance.now() - begin) / 1000
      return {
        calls: latencies.length,
        perSecond: latencies.length / seconds,
        cpuUs: ((usageOf(pid).cpuMs - before) * 1000) / latencies.length,
        p50Us: quantile(latencies, 0.5),
        p99Us: quantile(latencies, 0.99),
      }
    },
    close: () => {
      client.close()
    },
  }
}
