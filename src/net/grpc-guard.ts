import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import { LatchkeyError, type ErrorCode } from '../base/errors.ts'
import { toGrpcFailure } from './grpc-status.ts'

/** Requests that are being received or answered, on all connections together. */
export interface InFlight {
  count: number
}

/** What {@link guardUnaryCalls} bounds, and whom it tells. */
export interface GuardOptions {
  /** Shared by all connections. */
  readonly inFlight: InFlight
  /** Largest value of `inFlight`; one more is `RESOURCE_EXHAUSTED`. */
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
          fail('ERR_BUSY')
          return
        }
        inFlight.count += 1
        const timer = setTimeout(() => {
          options.onSlow()
          fail('ERR_DEADLINE')
        }, options.requestMs)
        next({
          onReceiveHalfClose: (pass) => {
            clearTimeout(timer)
            options.onReceived()
            pass()
          },
          // grpc-js calls this once for every call, however it ended.
          onCancel: () => {
            clearTimeout(timer)
            inFlight.count -= 1
          },
        })
      },
    })
  }
}
