import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import { WireMessage } from '../../base/protobuf.ts'
import { fieldsOf, numberOf } from './codec.ts'
import type { EtcdConnections } from './connections.ts'

const timeoutMs = 5_000

/** A lease that is there. */
export interface EtcdLease {
  readonly leaseId: number
  /** Seconds without a sign of life after which etcd ends it, as etcd has set them. */
  readonly ttlSeconds: number
}

/** Asks for a lease of `ttlSeconds`. Throws as every write. */
export async function grantLease(
  connections: EtcdConnections,
  ttlSeconds: number,
  options: { readonly random: RandomBytes; readonly signal?: AbortSignal },
): Promise<EtcdLease> {
  // Chosen here, since etcd's own choice may lie above what a number holds exactly.
  const leaseId = Buffer.from(options.random(6)).readUIntBE(0, 6) + 1
  const request = new WireMessage().varint(1, ttlSeconds).varint(2, leaseId).encode()
  const { signal } = options
  const answer = await connections.unary('Lease/LeaseGrant', request, {
    kind: 'write',
    timeoutMs,
    signal,
  })
  return { leaseId, ttlSeconds: numberOf(fieldsOf(answer).get(3)) }
}

/** Ends a lease, and with it the keys that hang on it. Throws as every write. */
export async function revokeLease(connections: EtcdConnections, leaseId: number): Promise<void> {
  const request = new WireMessage().varint(1, leaseId).encode()
  // Repeating it does no harm.
  await connections.unary('Lease/LeaseRevoke', request, {
    kind: 'read',
    timeoutMs,
    signal: undefined,
  })
}

/**
 * Gives signs of life three times a term, until the signal is aborted (`stopped`) or etcd says that
 * the lease has ended (`expired`). While etcd does not answer it goes on trying.
 */
export async function keepLease(
  connections: EtcdConnections,
  lease: EtcdLease,
  options: {
    readonly signal: AbortSignal
    readonly clock: Clock
    /** A sign of life did not get through. */
    readonly onProblem?: (error: unknown) => void
  },
): Promise<'expired' | 'stopped'> {
  const { signal } = options
  const everyMs = Math.max((lease.ttlSeconds * 1000) / 3, 200)
  for (;;) {
    await options.clock.sleep(everyMs, signal).catch(() => undefined)
    if (isAborted(signal)) return 'stopped'
    try {
      if ((await renew(connections, lease.leaseId, signal)) === 0) return 'expired'
    } catch (error) {
      if (isAborted(signal)) return 'stopped'
      options.onProblem?.(error)
    }
  }
}

/** One sign of life; answers the seconds that are left, 0 when the lease is gone. */
async function renew(
  connections: EtcdConnections,
  leaseId: number,
  outer: AbortSignal,
): Promise<number> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(timeoutMs)])
  const { call, failed } = await connections.duplex('Lease/LeaseKeepAlive', { timeoutMs, signal })
  try {
    call.write(new WireMessage().varint(1, leaseId).encode())
    for await (const answer of call as AsyncIterable<Buffer>) {
      return numberOf(fieldsOf(answer).get(3))
    }
    throw new Error('no answer')
  } catch (error) {
    throw isLatchkeyError(error) ? error : failed(error)
  } finally {
    call.cancel()
  }
}

/** Asked anew: between two questions there was a wait. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}
