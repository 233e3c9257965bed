import { LatchkeyError, systemCode, type ErrorCode } from '../base/errors.ts'

const codes: Readonly<Record<number, ErrorCode>> = {
  401: 'ERR_KUBERNETES_UNAUTHENTICATED',
  403: 'ERR_KUBERNETES_FORBIDDEN',
  404: 'ERR_KUBERNETES_NOT_FOUND',
  409: 'ERR_KUBERNETES_CONFLICT',
  410: 'ERR_KUBERNETES_GONE',
}

/** What was asked, for messages: verb and path without query. */
export interface Asked {
  readonly method: string
  readonly path: string
}

/**
 * An HTTP status of the API server as an error. What it says in words is left out: those texts may
 * repeat what was sent.
 */
export function statusError(status: number, asked: Asked): LatchkeyError {
  const code =
    codes[status] ??
    (status === 429 || status >= 500 ? 'ERR_KUBERNETES_UNAVAILABLE' : 'ERR_KUBERNETES_REFUSED')
  return new LatchkeyError(code, `the API server answered ${status} to ${print(asked)}`)
}

/**
 * A 404 that is no API server's word on an object: a load balancer's or proxy's page, or a path that
 * is not served, or not yet. Nothing may be concluded from it about the object.
 */
export function strayNotFound(asked: Asked): LatchkeyError {
  return new LatchkeyError(
    'ERR_KUBERNETES_REFUSED',
    `what answers for the API server knows no ${asked.path} (404)`,
    { hint: 'check the server’s address, and what stands before it' },
  )
}

/** A connection that failed, a deadline that passed, an answer that is none: all are an outage. */
export function unavailable(asked: Asked, cause: unknown): LatchkeyError {
  const reason = systemCode(cause)
  return new LatchkeyError(
    'ERR_KUBERNETES_UNAVAILABLE',
    `the API server did not answer ${print(asked)}${reason === undefined ? '' : ` (${reason})`}`,
    { cause },
  )
}

function print({ method, path }: Asked): string {
  return `${method} ${path}`
}
