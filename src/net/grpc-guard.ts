import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { LatchkeyError, type ErrorCode } from '../base/errors.ts'
import { toGrpcFailure } from './grpc-status.ts'

/** Requests that are being received or answered, on all connections together. */
export class InFlight {
  #count = 0
  readonly #receiving = new Set<() => void>()

  get count(): number {
    return this.#count
  }

  /** Counts one more; `refuse` turns it away as long as it is being received. */
  begin(refuse: () => void): void {
    this.#count += 1
    this.#receiving.add(refuse)
  }

  /** It was received as a whole, and is now being answered. */
  received(refuse: () => void): void {
    this.#receiving.delete(refuse)
  }

  end(refuse: () => void): void {
    this.#receiving.delete(refuse)
    this.#count -= 1
  }

  /** Turns away the request that is being received for longest. Returns whether there was one. */
  refuseOldest(): boolean {
    const [oldest] = this.#receiving
    oldest?.()
    return oldest !== undefined
  }
}

/** What {@link guardUnaryCalls} bounds, and whom it tells. */
export interface GuardOptions {
  /** Shared by all connections. */
  readonly inFlight: InFlight
  /**
   * Largest count of `inFlight`. At one more, the request that is being received for longest is
   * `RESOURCE_EXHAUSTED`: good clients send theirs in one go, so it is not one of those.
   */
  readonly maxInFlight: number
  /** Milliseconds within which a whole request must have arrived. */
  readonly requestMs: number
  /** A whole request has arrived. */
  readonly onReceived: () => void
  /** A request was refused since too many are in flight. */
  readonly onTooMany: () => void
  /** A request did not arrive in time and was answered `DEADLINE_EXCEEDED`. */
  readonly onSlow: () => void
}

/**
 * An interceptor for services with unary calls only: a request that dribbles in, or is never
 * finished, would otherwise be kept until its connection ends.
 */
export function guardUnaryCalls(options: GuardOptions): ServerInterceptor {
  const { inFlight } = options
  return (_method, call) => {
    const fail = (code: ErrorCode): void => {
      call.sendStatus(toGrpcFailure(new LatchkeyError(code, 'refused by the guard')))
    }
    return new ServerInterceptingCall(call, {
      start: (next) => {
        if (inFlight.count >= options.maxInFlight) {
          options.onTooMany()
          if (!inFlight.refuseOldest()) {
            fail('ERR_BUSY')
            stopReceiving(call)
            return
          }
        }
        let state: 'receiving' | 'answering' | 'over' = 'receiving'
        const end = (): void => {
          if (state === 'over') return
          if (state === 'receiving') stopReceiving(call)
          state = 'over'
          clearTimeout(timer)
          inFlight.end(refuse)
        }
        const refuse = (): void => {
          fail('ERR_BUSY')
          end()
        }
        const timer = setTimeout(() => {
          options.onSlow()
          fail('ERR_DEADLINE')
          end()
        }, options.requestMs)
        inFlight.begin(refuse)
        next({
          onReceiveHalfClose: (pass) => {
            // Its deadline may have passed, or it was cancelled, while the rest was on its way.
            if (state !== 'receiving') return
            state = 'answering'
            clearTimeout(timer)
            inFlight.received(refuse)
            options.onReceived()
            pass()
          },
          // grpc-js calls this once for every call, however it ended.
          onCancel: end,
        })
      },
    })
  }
}

/**
 * Resets the stream of a call that was answered before its request was complete, so that neither
 * side keeps what is left of it (RFC 9113 §8.1). grpc-js leaves such streams open, and has no public
 * way to the stream; a test fails should it move.
 */
function stopReceiving(call: ServerInterceptingCallInterface): void {
  const { stream } = call as unknown as { readonly stream?: ServerHttp2Stream }
  if (stream?.closed === false) stream.close(constants.NGHTTP2_NO_ERROR)
}
