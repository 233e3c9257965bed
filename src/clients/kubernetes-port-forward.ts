import { Duplex } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { WebSocket, type RawData } from 'ws'
import { isLatchkeyError, LatchkeyError, systemCode } from '../base/errors.ts'
import type { KubernetesClient } from './kubernetes.ts'
import { statusError } from './kubernetes-errors.ts'

/** A port of a pod. */
export interface PodPort {
  readonly namespace: string
  readonly pod: string
  readonly port: number
}

const protocol = 'v4.channel.k8s.io'
/** The node copies in pieces of 32 KiB; far more is not from it. */
const maxMessageBytes = 1_048_576
/** Of what the node says went wrong. */
const maxReasonLength = 300

/**
 * Opens a connection to a port of a pod, through the API server and the pod's node, as
 * `kubectl port-forward` does: bytes as they are, so whoever is at the other end is still to be
 * authenticated.
 *
 * @remarks
 * By WebSocket and `v4.channel.k8s.io`, which API servers pass on to the node and the node speaks
 * itself (k8s.io/cri-streaming, `pkg/streaming/portforward/websocket.go`; before 1.36
 * k8s.io/kubelet, `pkg/cri/streaming`). A message begins with its channel: 0 are the data, 1 what
 * went wrong. The first two bytes on each are the port, least significant first. An end of one
 * direction alone cannot be said.
 *
 * The API server asks for `get`, by the request's method, and from 1.35 for `create` too, on
 * `pods/portforward`.
 *
 * @throws `ERR_KUBERNETES_FORBIDDEN` and other `ERR_KUBERNETES_*`, also for a node that does not
 * answer in time; `ERR_MESSAGE_INVALID` when what answers does not speak the protocol; the signal's
 * reason. The stream fails with the same.
 */
export async function openPodPort(
  client: KubernetesClient,
  target: PodPort,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Duplex> {
  const { signal, timeoutMs } = options
  const names = [target.namespace, target.pod].map(encodeURIComponent)
  const path = `/api/v1/namespaces/${names[0] ?? ''}/pods/${names[1] ?? ''}/portforward`
  const { url, agent, headers } = await client.dial(path, { ports: String(target.port) })
  signal.throwIfAborted()
  const socket = new WebSocket(url, protocol, {
    agent,
    headers,
    maxPayload: maxMessageBytes,
    perMessageDeflate: false,
    followRedirects: false,
  })
  const tunnel = new PodPortStream(socket, target)
  socket.on('unexpected-response', (_request, response: IncomingMessage) => {
    response.resume()
    tunnel.destroy(statusError(response.statusCode ?? 0, { method: 'GET', path }))
  })
  const timer = setTimeout(() => {
    tunnel.destroy(broken(target, 'no answer in time'))
  }, timeoutMs)
  const abort = (): void => {
    tunnel.destroy(signal.reason as Error)
  }
  signal.addEventListener('abort', abort, { once: true })
  tunnel.once('close', () => {
    signal.removeEventListener('abort', abort)
  })
  try {
    await tunnel.ready
    return tunnel
  } finally {
    clearTimeout(timer)
  }
}

/** The bytes of channel 0. */
class PodPortStream extends Duplex {
  readonly #socket: WebSocket
  readonly #target: PodPort
  readonly #ready = Promise.withResolvers<undefined>()
  /** Bytes of the port that are still to come on each channel. */
  readonly #awaited: [number[], number[]]
  #reason = ''

  constructor(socket: WebSocket, target: PodPort) {
    super()
    this.#socket = socket
    this.#target = target
    const port = [target.port & 0xff, target.port >> 8]
    this.#awaited = [[...port], [...port]]
    // Told to the stream's reader as well; nobody may wait for the beginning any more.
    this.#ready.promise.catch(() => undefined)
    this.on('error', () => undefined)
    socket.on('message', (data, isBinary) => {
      this.#receive(data, isBinary)
    })
    socket.on('error', (error) => {
      this.destroy(broken(target, systemCode(error) ?? 'no WebSocket', error))
    })
    socket.on('close', () => {
      this.#end()
    })
  }

  /** Resolves when the node has said that it forwards the port. */
  get ready(): Promise<undefined> {
    return this.#ready.promise
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    const message = Buffer.allocUnsafe(chunk.byteLength + 1)
    message[0] = 0
    message.set(chunk, 1)
    this.#socket.send(message, (error) => {
      done(error && broken(this.#target, systemCode(error) ?? 'closed', error))
    })
  }

  override _final(done: () => void): void {
    this.#socket.close()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.terminate()
    this.#ready.reject(error ?? broken(this.#target, 'closed'))
    done(error)
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.destroyed) return
    try {
      if (!isBinary || !Buffer.isBuffer(data)) throw foreign('a message is no bytes')
      const [channel] = data
      if (channel !== 0 && channel !== 1) throw foreign('a message has no channel of ours')
      const payload = this.#takePort(channel, data.subarray(1))
      if (channel === 1) this.#complain(payload)
      else if (payload.byteLength > 0 && !this.push(payload)) this.#socket.pause()
      if (this.#awaited.every(({ length }) => length === 0)) this.#ready.resolve(undefined)
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  /** What follows the port, which must be the one that was asked for. */
  #takePort(channel: 0 | 1, payload: Buffer): Buffer {
    const awaited = this.#awaited[channel]
    let at = 0
    for (; at < payload.byteLength && awaited.length > 0; at += 1) {
      if (awaited.shift() !== payload[at]) throw foreign('another port is forwarded')
    }
    return payload.subarray(at)
  }

  /** The end that follows is not the peer's, whose bytes before it are still good. */
  #complain(text: Buffer): void {
    if (text.byteLength === 0 || this.#reason.length >= maxReasonLength) return
    const printable = text.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '?')
    this.#reason = (this.#reason + printable).slice(0, maxReasonLength)
  }

  #end(): void {
    if (this.destroyed) return
    if (this.#reason !== '' || this.#awaited.some(({ length }) => length > 0)) {
      this.destroy(broken(this.#target, this.#reason === '' ? 'closed' : this.#reason))
      return
    }
    this.push(null)
    this.#ready.resolve(undefined)
  }
}

function broken(target: PodPort, why: string, cause?: unknown): LatchkeyError {
  if (isLatchkeyError(cause)) return cause
  return new LatchkeyError(
    'ERR_KUBERNETES_UNAVAILABLE',
    `port ${target.port} of pod ${target.pod} is not forwarded (${why})`,
    cause === undefined ? {} : { cause },
  )
}

function foreign(what: string): LatchkeyError {
  return new LatchkeyError('ERR_MESSAGE_INVALID', `${what}: it is no port-forward of Kubernetes`)
}
