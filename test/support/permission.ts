import type { ExecutionContext } from 'ava'
import type { Account } from '../../src/broker/identity.ts'
import { Permission } from '../../src/broker/permission.ts'
import { ManualClock } from './manual-clock.ts'

/** Whose permission it is. */
export const account: Account = {
  namespace: 'shop',
  name: 'web',
  user: { username: 'system:serviceaccount:shop:web', uid: 'u', groups: [], extra: {} },
}

/** A permission, and what it gets for answers. */
export interface PermissionSubject {
  readonly clock: ManualClock
  readonly permission: Permission
  /** Decisions with the time at which they took effect, in milliseconds since the start. */
  readonly decisions: (readonly [string, number])[]
  /** When questions were asked. */
  readonly asked: number[]
  answer: boolean | 'none'
  watchStaleMs: number
  troubledMsAgo: number
}

/** A permission that asks, from now on, until the test ends. */
export function openPermission(t: ExecutionContext, answer: boolean | 'none'): PermissionSubject {
  const clock = new ManualClock()
  const start = clock.monotonicMs()
  const stop = new AbortController()
  t.teardown(() => {
    stop.abort()
  })
  const decisions: (readonly [string, number])[] = []
  const asked: number[] = []
  const subject: Omit<PermissionSubject, 'permission'> = {
    ...{ clock, decisions, asked, answer },
    watchStaleMs: 0,
    troubledMsAgo: Infinity,
  }
  const permission = new Permission(account, {
    ask: async () => {
      asked.push(clock.monotonicMs() - start)
      if (subject.answer === 'none') throw new Error('no answer')
      return subject.answer
    },
    clock,
    random: () => 0.5,
    watchStaleMs: () => subject.watchStaleMs,
    troubledMsAgo: () => subject.troubledMsAgo,
    signal: stop.signal,
    onAnswer: () => undefined,
    onDecision: (decision) => decisions.push([decision, clock.monotonicMs() - start]),
  })
  return Object.assign(subject, { permission })
}
