import test from 'ava'
import { SecretBytes } from '../../src/base/secret.ts'
import type { Catalog } from '../../src/broker/catalog.ts'
import { Cohort } from '../../src/broker/cohort.ts'
import type { PermissionView } from '../../src/broker/permission.ts'
import type { Permissions } from '../../src/broker/permissions.ts'
import type { Session } from '../../src/broker/session.ts'
import { PodStream, type StreamDeps } from '../../src/broker/stream.ts'
import { noAudit } from '../../src/observe/audit.ts'
import { SecretContent } from '../../src/secrets/content.ts'
import { createVersioner } from '../../src/secrets/version.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { account } from '../support/permission.ts'

/** A stream of a cohort whose permission, and whose turns of the event loop, are the test's. */
function open({ present = true } = {}): {
  readonly stream: PodStream
  readonly clock: ManualClock
  readonly sent: Buffer[]
  /** Reasons of what is missing, each time that it was told. */
  readonly told: string[]
  readonly answer: (view: PermissionView) => void
  readonly turn: () => void
} {
  const clock = new ManualClock()
  const versioner = createVersioner(SecretBytes.take(new Uint8Array(32)))
  const content = SecretContent.take([
    { key: 'k', value: SecretBytes.copyOf(Buffer.from('hidden')) },
  ])
  const deferred: (() => void)[] = []
  const listeners: (() => void)[] = []
  let view: PermissionView = { decision: 'allowed', trusted: true }
  const hold = (listener: () => void): object => {
    listeners.push(listener)
    return {
      get view() {
        return view
      },
      ...{ configured: true, askedAtMs: 0, staleMs: () => 0 },
      ...{ demand: () => true, covers: () => true },
      current: () => (present ? { state: 'present', content } : undefined),
      [Symbol.dispose]: () => undefined,
    }
  }
  const cohort = new Cohort(account, [{ secret: 'db', keys: [] }], {
    permissions: {
      hold: (_a: unknown, _s: unknown, it: () => void) => hold(it),
    } as unknown as Permissions,
    catalog: { hold: (_n: unknown, _s: unknown, it: () => void) => hold(it) } as unknown as Catalog,
    versioner,
    clock,
    defer: (work) => deferred.push(work),
  })
  const sent: Buffer[] = []
  const nothing = (): void => undefined
  const told: string[] = []
  const waiting: StreamDeps['observer']['waiting'] = (_, items) =>
    told.push(items.map(({ reason }) => reason).join())
  const observer = { delivered: nothing, acknowledged: nothing, waiting, ended: nothing }
  const deps: StreamDeps = {
    ...{ clock, versioner, observer, audit: noAudit },
    ...{ heartbeatIntervalMs: 15_000, replica: 'one' },
  }
  const identity = { account, pod: { name: 'p', uid: 'u' }, nodeName: '', tokenId: '' }
  const session = { identity, staleMs: () => 0 } as unknown as Session
  const transport = {
    peer: '10.0.0.1',
    signal: new AbortController().signal,
    send: async (message: Buffer) => void sent.push(Buffer.from(message)),
    end: nothing,
  }
  const stream = new PodStream({ session, cohort, transport, instance: 'i', client: '' }, deps)
  cohort.add(stream)
  return {
    ...{ stream, clock, sent, told },
    answer: (next) => {
      view = next
      listeners[0]?.()
    },
    turn: () => {
      for (const work of deferred.splice(0)) work()
    },
  }
}

const settled = (): Promise<void> => new Promise(setImmediate)

test('a set is not handed out between a no and the set that knows of it', async (t) => {
  const { stream, sent, answer, turn } = open()
  turn()
  answer({ decision: 'allowed', trusted: false })
  stream.start()
  await settled()
  t.false(Buffer.concat(sent).includes('hidden'))
  turn()
  await settled()
  t.false(Buffer.concat(sent).includes('hidden'))
  answer({ decision: 'allowed', trusted: true })
  turn()
  await settled()
  t.true(Buffer.concat(sent).includes('hidden'))
})

test('why a pod waits is told again when that has become another, and no set is sent for it', async (t) => {
  const { stream, clock, sent, told, answer, turn } = open({ present: false })
  turn()
  stream.start()
  await clock.advance(4_000)
  stream.update()
  await settled()
  t.deepEqual(told, ['source'])
  const messages = sent.length
  answer({ decision: 'allowed', trusted: false })
  turn()
  await settled()
  t.deepEqual(told, ['source', 'authorization'])
  t.is(sent.length, messages)
})
