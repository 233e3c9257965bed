import test, { type ExecutionContext } from 'ava'
import { enroll } from '../../src/admin/enroll.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { recordedContext } from '../support/admin-context.ts'
import { FakeKubernetes } from '../support/fake-kubernetes.ts'

const bindings = '/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings'
const name = 'latchkey-enrolled'

interface Ground {
  readonly kubernetes: FakeKubernetes
  /** Runs the command; resolves with what it said. */
  readonly run: (flags?: {
    readonly namespace?: string
    readonly system?: string
    readonly remove?: boolean
  }) => Promise<string>
}

async function ground(t: ExecutionContext): Promise<Ground> {
  const kubernetes = new FakeKubernetes()
  await kubernetes.start()
  const client = createKubernetesClient(kubernetes.access, {
    clock: { monotonicMs: () => performance.now() },
  })
  t.teardown(async () => {
    client.close()
    await kubernetes.stop()
  })
  return {
    kubernetes,
    run: async (flags = {}) => {
      const context = await recordedContext(t)
      await enroll(
        { terminal: context.terminal, client, signal: new AbortController().signal },
        { namespace: 'shop', system: 'latchkey-system', remove: false, ...flags },
      )
      return context.said.join('\n')
    },
  }
}

const bindingOf = (subject: string): Parameters<FakeKubernetes['put']>[1] => ({
  metadata: { name, namespace: 'shop' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
  subjects: [{ kind: 'ServiceAccount', name: subject, namespace: 'latchkey-system' }],
})

test('the broker is bound in that namespace, once', async (t) => {
  const { kubernetes, run } = await ground(t)
  t.regex(await run(), /is enrolled$/)
  t.like(kubernetes.get(bindings, name), bindingOf('latchkey-broker'))
  t.regex(await run(), /is enrolled already$/)
})

test('it is taken away again, also when it is gone', async (t) => {
  const { kubernetes, run } = await ground(t)
  await run()
  t.regex(await run({ remove: true }), /not enrolled any more/)
  t.is(kubernetes.get(bindings, name), undefined)
  t.regex(await run({ remove: true }), /not enrolled any more/)
})

test("somebody else's binding of that name is neither taken for ours nor removed", async (t) => {
  const { kubernetes, run } = await ground(t)
  kubernetes.put(bindings, bindingOf('somebody'))
  await t.throwsAsync(run(), { code: 'ERR_WOULD_LOSE_DATA' })
  await t.throwsAsync(run({ remove: true }), { code: 'ERR_WOULD_LOSE_DATA' })
  t.like(kubernetes.get(bindings, name), bindingOf('somebody'))
})

test('namespaces whose pods are exempt are not enrolled: it would only show the broker their Secrets', async (t) => {
  const { kubernetes, run } = await ground(t)
  for (const namespace of ['kube-system', 'latchkey-system']) {
    await t.throwsAsync(run({ namespace }), { code: 'ERR_USAGE' })
  }
  await t.throwsAsync(run({ namespace: 'vault', system: 'vault' }), { code: 'ERR_USAGE' })
  t.deepEqual(kubernetes.seen, [])
  t.regex(await run({ namespace: 'kube-system', remove: true }), /not enrolled any more/)
})
