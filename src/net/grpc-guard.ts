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
  /** Those whose answer is given and not yet taken, and since when. */
  readonly #answered = new Map<() => void, number>()

  get count(): number {
    return this.#count
  }

  /** Counts one more; `refuse` turns it away, but for while it is being answered. */
  begin(refuse: () => void): void {
    this.#count += 1
    this.#receiving.add(refuse)
  }

  /** It was received as a whole, and is now being answered. */
  received(refuse: () => void): void {
    this.#receiving.delete(refuse)
  }

  /** Its answer is given, and its peer has to take it. */
  answered(refuse: () => void): void {
    this.#answered.set(refuse, performance.now())
  }

  end(refuse: () => void): void {
    this.#receiving.delete(refuse)
    this.#answered.delete(refuse)
    this.#count -= 1
  }

  /**
   * Turns away the request that is being received for longest, or else the one whose answer was not
   * taken for longest. Returns whether there was one.
   */
  refuseOldest(): boolean {
    const [oldest] = this.#receiving
    const [unread] = this.#answered
    if (oldest !== undefined) oldest()
    else if (unread !== undefined && performance.now() - unread[1] >= takingMs) unread[0]()
    else return false
    return true
  }
}

/** Within this a peer that reads at all has its answer. */
const takingMs = 100

/** What {@link guardUnaryCalls} bounds, and whom it tells. */
export interface GuardOptions {
  /** Shared by all connections. */
  readonly inFlight: InFlight
  /**
   * Largest count of `inFlight`. At one more, the request that is being received for longest is
   * `RESOURCE_EXHAUSTED`: good clients send theirs in one go, so it is not one of those. Where all were
   * received, one whose answer is not taken is cut.
   */
  readonly maxInFlight: number
  /** Milliseconds within which a whole request must have arrived, and within which its answer must be taken. */
  readonly requestMs: number
  /** A whole request has arrived. */
  readonly onReceived: () => void
  /** A request was refused since too many are in flight. */
  readonly onTooMany: () => void
  /** A request did not arrive in time and was answered `DEADLINE_EXCEEDED`. */
  readonly onSlow: () => void
  /** An answer was not taken in time, and its stream was cut. */
  readonly onUnread: () => void
}

/**
 * An interceptor for services with unary calls only: a request that dribbles in, or is never
 * finished, or whose answer is never taken, would otherwise be kept until its connection ends.
 */
export function guardUnaryCalls(options: GuardOptions): ServerInterceptor {
  const { inFlight } = options
  return (_method, call) => {
    const fail = (code: ErrorCode): void => {
      call.sendStatus(toGrpcFailure(new LatchkeyError(code, 'refused by the guard')))
    }
    let onAnswer = (): void => undefined
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
        let state: 'receiving' | 'answering' | 'answered' | 'over' = 'receiving'
        const end = (): void => {
          if (state === 'over') return
          if (state === 'receiving') stopReceiving(call)
          state = 'over'
          clearTimeout(timer)
          inFlight.end(refuse)
        }
        const refuse = (): void => {
          if (state === 'answered') cut(call)
          else fail('ERR_BUSY')
          end()
        }
        const timer = setTimeout(() => {
          // How long it takes to answer is bounded by the caller's deadline alone.
          if (state === 'answering') return
          if (state === 'answered') {
            options.onUnread()
            cut(call)
          } else {
            options.onSlow()
            fail('ERR_DEADLINE')
          }
          end()
        }, options.requestMs)
        onAnswer = () => {
          if (state !== 'answering') return
          state = 'answered'
          timer.refresh()
          inFlight.answered(refuse)
        }
        inFlight.begin(refuse)
        next({
          onReceiveHalfClose: (pass) => {
            // Its deadline may have passed, or it was cancelled, while the rest was on its way.
            if (state !== 'receiving') return
            state = 'answering'
            inFlight.received(refuse)
            options.onReceived()
            pass()
          },
          // grpc-js calls this once for every call, however it ended.
          onCancel: end,
        })
      },
      sendMessage: (message, next) => {
        onAnswer()
        next(message)
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
  closeStream(call, constants.NGHTTP2_NO_ERROR)
}

/** Lets go of an answer that its peer does not take. */
function cut(call: ServerInterceptingCallInterface): void {
  closeStream(call, constants.NGHTTP2_CANCEL)
}

function closeStream(call: ServerInterceptingCallInterface, code: number): void {
  const { stream } = call as unknown as { readonly stream?: ServerHttp2Stream }
  if (stream?.closed === false) stream.close(code)
}
