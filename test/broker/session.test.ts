import test from 'ava'
import type { Identity, PodFacts } from '../../src/broker/identity.ts'
import { Session, type SessionDeps } from '../../src/broker/session.ts'
import { ManualClock } from '../support/manual-clock.ts'

const signal = new AbortController().signal
const identity: Identity = {
  account: {
    namespace: 'shop',
    name: 'web',
    user: { username: 'system:serviceaccount:shop:web', uid: 'u', groups: [], extra: {} },
  },
  pod: { name: 'web-0', uid: 'p' },
  nodeName: '',
  tokenId: '',
  expiresAtMs: Infinity,
}
const facts: PodFacts = {
  name: 'web-0',
  uid: 'p',
  accountName: 'web',
  nodeName: '',
  phase: 'Running',
  addresses: ['10.1.2.3'],
  planDigest: '',
  injected: false,
}

/** Opens a session of a pod that no event has told of since it is followed. */
async function open(
  peer: string,
  changes: Partial<SessionDeps> = {},
  ended: (error: unknown) => void = () => undefined,
): Promise<Session> {
  const deps: SessionDeps = {
    authenticator: {
      reviewPod: async () => identity,
      reviewCaller: async () => ({ user: identity.account.user }),
    },
    pods: {
      read: async () => facts,
      follow: () => ({ current: () => undefined, [Symbol.dispose]: () => undefined }),
      staleMs: () => 0,
    },
    clock: new ManualClock(),
    random: () => 0.5,
    rules: { requireInjected: false, bindPodIp: 'off' },
    signal,
    ...changes,
  }
  return await Session.open(
    Buffer.from('token'),
    { peer, planDigest: '' },
    {
      deps,
      events: {
        ended,
        refreshed: () => undefined,
        refreshRefused: () => undefined,
        otherAddress: () => undefined,
      },
      onIdentity: () => undefined,
      signal,
    },
  )
}

test('a pod is known to be at its own address from the start, before anything about it changes', async (t) => {
  t.true((await open('10.1.2.3')).atPodAddress)
  t.false((await open('10.9.9.9')).atPodAddress)
})
