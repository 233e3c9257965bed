import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import type { BrokerAddress } from '../broker/connect.ts'
import type { Goodbye, OpenMessage } from '../broker/messages.ts'
import { openSession } from '../broker/session.ts'
import type { BrokerSession, SessionMessage, SessionOpening } from '../broker/session.ts'
import type { TokenFile } from '../broker/token.ts'
import type { TrustStore } from '../broker/trust.ts'

/** What becomes known of the connection. All are called in order, none while another is awaited. */
export interface ConnectionEvents {
  readonly opened: (session: BrokerSession) => void
  readonly message: (message: SessionMessage, session: BrokerSession) => Promise<void>
  /** A stream that was open has ended, by an error or not. */
  readonly closed: (error: unknown) => void
  /** A stream was not accepted. */
  readonly refused: (goodbye: Goodbye) => void
  /** No stream came about. */
  readonly failed: (error: unknown) => void
  /** The token file cannot be read for a refresh. */
  readonly tokenProblem: (error: unknown) => void
}

/** What a connection needs. */
export interface ConnectionOptions {
  readonly broker: BrokerAddress
  readonly open: Omit<OpenMessage, 'token'>
  readonly token: TokenFile
  readonly trust: TrustStore
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

const backoff: Backoff = { initialMs: 1000, maxMs: 30_000, factor: 2 }
const deadlines = { connectMs: 10_000, acceptMs: 30_000 }
/** A session that lasted so long, in milliseconds, makes the next wait a first one again. */
const steadyMs = 10_000
/** How often the token file is looked at, in milliseconds. */
const tokenEveryMs = 10_000

/**
 * Keeps one stream to a broker open until `signal` is aborted: connects, hands over what comes,
 * refreshes the token, and after every end waits, jittered and longer each time, or as long as the
 * broker asked for.
 */
export async function keepConnected(
  options: ConnectionOptions,
  events: ConnectionEvents,
): Promise<void> {
  const { clock, random, signal } = options
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted()
    const started = clock.monotonicMs()
    const goodbye = await runOnce(options, events)
    signal.throwIfAborted()
    if (clock.monotonicMs() - started >= steadyMs) attempt = 0
    await clock.sleep(pauseMs(goodbye, attempt, random), signal)
  }
}

/** The wait that the broker asked for is enough the first time; from then on it does not shorten ours. */
function pauseMs(goodbye: Goodbye | undefined, attempt: number, random: () => number): number {
  const { reconnectMinMs: least = 0, reconnectMaxMs: most = 0 } = goodbye ?? {}
  if (most === 0) return backoffMs(backoff, attempt, random)
  const asked = least + Math.max(most - least, 0) * random()
  return attempt === 0 ? asked : Math.max(asked, backoffMs(backoff, attempt - 1, random))
}

async function runOnce(
  options: ConnectionOptions,
  events: ConnectionEvents,
): Promise<Goodbye | undefined> {
  let opening: SessionOpening
  try {
    opening = await openTrusted(options)
  } catch (error) {
    options.signal.throwIfAborted()
    if (!isLatchkeyError(error)) throw error
    events.failed(error)
    return undefined
  }
  if (opening.kind === 'refused') {
    events.refused(opening.goodbye)
    return opening.goodbye
  }
  using session = opening.session
  const over = new AbortController()
  events.opened(session)
  void refreshToken(session, { ...options, signal: over.signal }, events)
  let goodbye: Goodbye | undefined
  let failure: unknown
  try {
    for await (const message of session.messages()) {
      if (message.kind === 'goodbye') goodbye = message
      await events.message(message, session)
    }
  } catch (error) {
    options.signal.throwIfAborted()
    // A connection breaks with an error of ours; anything else is a fault that nobody expected.
    if (!isLatchkeyError(error)) throw error
    failure = error
  } finally {
    over.abort()
  }
  options.signal.throwIfAborted()
  events.closed(failure)
  return goodbye
}

/** Tries the preferred certificate authorities, and those the pod was started with if they fail. */
async function openTrusted(options: ConnectionOptions): Promise<SessionOpening> {
  const { broker, clock, signal } = options
  const candidates = options.trust.candidates()
  for (const [index, trusted] of candidates.entries()) {
    using token = options.token.take()
    try {
      return await openSession(broker, {
        open: { ...options.open, token },
        trusted,
        deadlines,
        clock,
        signal,
      })
    } catch (error) {
      const last = index === candidates.length - 1
      if (last || !isLatchkeyError(error, 'ERR_BROKER_UNTRUSTED')) throw error
    }
  }
  throw new TypeError('there is always a bundle to try')
}

async function refreshToken(
  session: BrokerSession,
  options: Pick<ConnectionOptions, 'token' | 'clock' | 'signal'>,
  events: ConnectionEvents,
): Promise<void> {
  const { clock, signal } = options
  for (;;) {
    try {
      await clock.sleep(tokenEveryMs, signal)
    } catch {
      return
    }
    try {
      using token = options.token.takeIfNew()
      if (token !== undefined) await session.send({ kind: 'token-refresh', token })
    } catch (error) {
      // A connection that broke is told by whoever reads from it.
      if (isLatchkeyError(error, 'ERR_TOKEN_INVALID')) events.tokenProblem(error)
    }
  }
}
