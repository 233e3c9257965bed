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
  { told = [], ...changes }: Partial<SessionDeps> & { readonly told?: string[] } = {},
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
        ended: () => told.push('ended'),
        refreshed: () => told.push('refreshed'),
        refreshRefused: () => told.push('refused'),
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

test('a newer token of an account that was made again under the same name is refused', async (t) => {
  const { account } = identity
  const answers: readonly [Partial<Identity>, string][] = [
    [{ tokenId: 'next', expiresAtMs: 1 }, 'refreshed'],
    [{ account: { ...account, user: { ...account.user, uid: 'another' } } }, 'refused'],
    [{ account: { ...account, user: { ...account.user, groups: ['another'] } } }, 'refused'],
    [{ pod: { ...identity.pod, uid: 'another' } }, 'refused'],
  ]
  for (const [changed, expected] of answers) {
    const told: string[] = []
    const clock = new ManualClock()
    let answer = identity
    const authenticator = {
      reviewPod: async () => answer,
      reviewCaller: async () => ({ user: account.user }),
    }
    const session = await open('10.1.2.3', { authenticator, clock, told })
    answer = { ...identity, ...changed }
    session.refresh(Buffer.from('newer'))
    await clock.advance(1_000)
    session.tick()
    await clock.advance(0)
    t.deepEqual(told, [expected])
    session.end()
  }
})
