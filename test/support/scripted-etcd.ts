import {
  Server,
  ServerCredentials,
  status,
  type MethodDefinition,
  type ServerDuplexStream,
} from '@grpc/grpc-js'
import type { ExecutionContext } from 'ava'
import { WireMessage } from '../../src/base/protobuf.ts'

/** What a member answers: a message, or the error that etcd would give. */
export type ScriptedAnswer =
  | WireMessage
  | ((request: Buffer) => WireMessage)
  | { readonly code: status; readonly details: string }

/** One member, as scripted. */
export interface ScriptedMember {
  /** `127.0.0.1:PORT`. */
  readonly endpoint: string
  /** Methods that were called, as `KV/Range`, in their order. */
  readonly calls: readonly string[]
}

/** What a member does; each call of a method takes the next answer of its list, and the last for ever. */
export interface Script {
  readonly unary?: Readonly<Record<string, readonly [ScriptedAnswer, ...ScriptedAnswer[]]>>
  /** Told of the first message of each watch. */
  readonly watch?: (call: ServerDuplexStream<Buffer, Buffer>, request: Buffer) => void
}

const asItIs = (bytes: Buffer): Buffer => bytes

function method(path: string, streams: boolean): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/etcdserverpb.${path}`,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  }
}

/** The header that every answer of etcd begins with. */
export function header(revision: number, clusterId = 7): WireMessage {
  return new WireMessage().varint(1, clusterId).varint(2, 1).varint(3, revision)
}

/** A gRPC server on loopback that speaks as a member of etcd may, for what no real one can be made to say. */
export async function scriptedEtcd(t: ExecutionContext, script: Script): Promise<ScriptedMember> {
  const server = new Server()
  const calls: string[] = []
  const left = new Map<string, ScriptedAnswer[]>()
  for (const [path, answers] of Object.entries(script.unary ?? {})) {
    left.set(path, [...answers])
    server.addService(
      { [path]: method(path, false) },
      {
        [path]: (
          { request }: { readonly request: Buffer },
          callback: (error: { code: status; details: string } | null, answer?: Buffer) => void,
        ) => {
          calls.push(path)
          const list = left.get(path) ?? []
          const answer = list.length > 1 ? list.shift() : list[0]
          if (typeof answer === 'function') callback(null, answer(request).encode())
          else if (answer instanceof WireMessage) callback(null, answer.encode())
          else callback(answer ?? { code: status.UNIMPLEMENTED, details: '' })
        },
      },
    )
  }
  const { watch } = script
  if (watch !== undefined) {
    server.addService(
      { watch: method('Watch/Watch', true) },
      {
        watch: (call: ServerDuplexStream<Buffer, Buffer>) => {
          calls.push('Watch/Watch')
          call.on('error', () => undefined)
          call.once('data', (request: Buffer) => {
            watch(call, request)
          })
        },
      },
    )
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  t.teardown(() => {
    server.forceShutdown()
  })
  return { endpoint: `127.0.0.1:${port}`, calls }
}
