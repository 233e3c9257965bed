import test from 'ava'
import { kubernetesAuthorizer } from '../../src/broker/authorize-kubernetes.ts'
import type { PermissionScope } from '../../src/broker/identity.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { until } from '../e2e/support/until.ts'
import { startFakeKubernetes } from '../support/fake-kubernetes.ts'
import { loopClock } from '../support/loop-clock.ts'

const rbac = '/apis/rbac.authorization.k8s.io/v1'
const soon = { timeoutMs: 40_000, everyMs: 5 }

test('changes are told with whom they concern, and an API server that begins anew is in trouble', async (t) => {
  const kubernetes = await startFakeKubernetes(t)
  const client = createKubernetesClient(kubernetes.access, { clock: loopClock })
  const stop = new AbortController()
  t.teardown(() => {
    stop.abort()
    client.close()
  })
  const problems: unknown[] = []
  const { signal } = stop
  const authorizer = kubernetesAuthorizer(client, {
    ...{ clock: loopClock, random: Math.random, signal },
    onProblem: (error) => problems.push(error),
  })
  const told: PermissionScope[] = []
  authorizer.onChange((scope) => told.push(scope), signal)
  t.is(authorizer.troubledMsAgo(), Infinity)
  await until('all to be watched', () => authorizer.staleMs() === 0, soon)
  t.is(told.length, 5)
  t.true(told.every(({ namespace, seen }) => namespace === undefined && !seen))
  told.length = 0
  kubernetes.put(`${rbac}/namespaces/shop/rolebindings`, { metadata: { name: 'web' } })
  kubernetes.put(`${rbac}/clusterroles`, { metadata: { name: 'mounts' } })
  kubernetes.put('/api/v1/namespaces/shop/serviceaccounts', { metadata: { name: 'web' } })
  await until('the changes', () => told.length === 3, soon)
  for (const expected of [
    { namespace: 'shop', account: undefined, seen: true },
    { namespace: undefined, account: undefined, seen: true },
    { namespace: 'shop', account: 'web', seen: true },
  ]) {
    t.true(told.some((scope) => JSON.stringify(scope) === JSON.stringify(expected)))
  }
  kubernetes.endWatches('cut')
  await until('the breaks', () => problems.length >= 5, soon)
  await until('all to be watched again', () => authorizer.staleMs() === 0, soon)
  t.is(authorizer.troubledMsAgo(), Infinity, 'a connection that is cut is no trouble')
  await kubernetes.stop()
  await until('trouble', () => authorizer.troubledMsAgo() < Infinity, soon)
  await kubernetes.start()
  await until('all to be watched again', () => authorizer.staleMs() === 0, soon)
  t.true(authorizer.troubledMsAgo() < 10_000)
})
