import test from 'ava'
import { sha256Label } from '../../src/base/bytes.ts'
import type { Identity, PodFacts } from '../../src/broker/identity.ts'
import { checkAddress, checkPod } from '../../src/broker/pod-check.ts'
import { podFacts } from '../../src/broker/pods-kubernetes.ts'

const identity: Identity = {
  account: {
    namespace: 'shop',
    name: 'web',
    user: { username: 'system:serviceaccount:shop:web', uid: 'a', groups: [], extra: {} },
  },
  pod: { name: 'web-0', uid: 'u-1' },
  nodeName: 'node-1',
  tokenId: 'j',
  expiresAtMs: 0,
}
const facts: PodFacts = {
  name: 'web-0',
  uid: 'u-1',
  accountName: 'web',
  nodeName: 'node-1',
  phase: 'Running',
  addresses: ['10.1.2.3', 'fd00::1'],
  planDigest: 'sha256:a',
  injected: true,
}
const claim = { rules: { requireInjected: true }, planDigest: 'sha256:a' }

test('the pod that the token speaks of passes', (t) => {
  t.notThrows(() => {
    checkPod(identity, facts, claim)
    checkPod({ ...identity, nodeName: '' }, facts, claim)
    checkPod(identity, { ...facts, phase: 'Pending' }, claim)
  })
})

test('a pod that is gone, another one, or not as the token says is refused', (t) => {
  const refused: readonly (PodFacts | 'gone' | undefined)[] = [
    undefined,
    'gone',
    { ...facts, uid: 'u-2' },
    { ...facts, accountName: 'admin' },
    { ...facts, nodeName: 'node-2' },
  ]
  for (const it of refused) {
    t.throws(
      () => {
        checkPod(identity, it, claim)
      },
      { code: 'ERR_POD_GONE' },
    )
  }
  for (const phase of ['Succeeded', 'Failed']) {
    t.throws(
      () => {
        checkPod(identity, { ...facts, phase }, claim)
      },
      { code: 'ERR_POD_FINISHED' },
    )
  }
})

test('where injection is required, container and plan must be ours and the same', (t) => {
  const code = 'ERR_POD_NOT_INJECTED'
  t.throws(
    () => {
      checkPod(identity, { ...facts, injected: false }, claim)
    },
    { code },
  )
  t.throws(
    () => {
      checkPod(identity, facts, { ...claim, planDigest: 'sha256:b' })
    },
    { code },
  )
  t.throws(
    () => {
      checkPod(identity, facts, { ...claim, planDigest: '' })
    },
    { code },
  )
  t.notThrows(() => {
    checkPod(
      identity,
      { ...facts, injected: false },
      { rules: { requireInjected: false }, planDigest: '' },
    )
  })
})

test('an address is the pod’s in any of its spellings', (t) => {
  for (const peer of ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::1', 'FD00:0:0::1']) {
    t.is(checkAddress(facts, peer), 'same', peer)
  }
  for (const peer of ['10.1.2.4', '::1', '']) t.is(checkAddress(facts, peer), 'different', peer)
  t.is(checkAddress({ ...facts, addresses: [] }, '10.1.2.3'), 'unknown')
})

test('of a Pod object the facts are taken, and what is missing is empty', (t) => {
  const plan = '{"v":1}'
  const container = {
    name: 'latchkey',
    args: ['--broker', 'x:1', `--plan-digest=${sha256Label(plan)}`],
  }
  const pod = {
    metadata: { name: 'web-0', uid: 'u-1', annotations: { 'latchkey.dev/plan': plan } },
    spec: {
      serviceAccountName: 'web',
      nodeName: 'node-1',
      initContainers: [container],
      containers: [],
    },
    status: {
      phase: 'Running',
      podIP: '10.1.2.3',
      podIPs: [{ ip: '10.1.2.3' }, { ip: 'fd00::1' }],
      hostIP: '10.0.0.1',
    },
  }
  t.deepEqual(podFacts(pod), { ...facts, planDigest: sha256Label(plan) })
  t.true(
    podFacts({ ...pod, spec: { ...pod.spec, hostNetwork: true } }).addresses.includes('10.0.0.1'),
  )
  const spoiled = [
    { ...container, name: 'sidecar' },
    { ...container, args: ['--plan-digest=sha256:other'] },
    { ...container, args: [] },
  ]
  for (const it of spoiled) t.false(podFacts({ ...pod, spec: { initContainers: [it] } }).injected)
  t.false(podFacts({ ...pod, metadata: { name: 'web-0' } }).injected)
  t.deepEqual(podFacts(undefined), {
    name: '',
    uid: '',
    accountName: 'default',
    nodeName: '',
    phase: '',
    addresses: [],
    planDigest: '',
    injected: false,
  })
})
