import test from 'ava'
import { collection } from '../e2e/support/kubernetes.ts'
import { until } from '../e2e/support/until.ts'
import { statusOf } from './support/pods.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'

// The commands of deploy/cluster/README.md have been run, as they stand there, by inside.ts.

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const system = 'latchkey-system'

test.serial('two replicas of broker and webhook run, and none was ever restarted', async (t) => {
  // Those that others have taken out of service may still be on their way out.
  const items = await until(
    'four pods',
    async () => {
      const found = (await cluster.admin.list(collection('v1', 'pods', system))).items
      return found.length === 4 && found
    },
    { timeoutMs: 60_000, everyMs: 200 },
  )
  for (const pod of items) {
    const { ready, containers } = statusOf(pod)
    t.true(ready, pod.metadata.name)
    t.is(containers[0]?.restartCount, 0, pod.metadata.name)
  }
})

test.serial('the webhook has put its authority where the API server looks for it', async (t) => {
  for (const kind of ['mutating', 'validating']) {
    const bundles = await cluster.kubectl(
      ...['get', `${kind}webhookconfiguration/injector.latchkey.dev`],
      '--output=jsonpath={.webhooks[*].clientConfig.caBundle}',
    )
    for (const bundle of bundles.split(' ')) {
      t.regex(Buffer.from(bundle, 'base64').toString(), /^-----BEGIN CERTIFICATE-----/, kind)
    }
  }
})

test.serial('the controller manager makes the verb mount part of ClusterRole admin', async (t) => {
  const rules = await until(
    'the rule to be aggregated',
    async () => {
      const role = await cluster.admin.get(
        collection('rbac.authorization.k8s.io/v1', 'clusterroles'),
        'admin',
      )
      const found = role['rules'] as readonly { resources?: string[]; verbs: string[] }[]
      const mounts = found.filter(({ verbs }) => verbs.includes('mount'))
      return mounts.length > 0 && mounts
    },
    { timeoutMs: 30_000 },
  )
  t.deepEqual(
    rules.map(({ resources, verbs }) => ({ resources, verbs })),
    [{ resources: ['secrets'], verbs: ['mount'] }],
  )
  // Not of edit: who may only work in a namespace must not hand out its secrets.
  for (const name of ['edit', 'view']) {
    const text = await cluster.kubectl('get', `clusterrole/${name}`, '--output=json')
    t.false(text.includes('"mount"'), name)
  }
})

test.serial('the programs run as nobody in particular and can write nothing', async (t) => {
  for (const name of ['broker', 'webhook']) {
    const node = `require('fs').writeFileSync('/tmp/x', '')`
    const { code, stderr } = await cluster.tryKubectl([
      ...['exec', `--namespace=${system}`, `deployment/latchkey-${name}`, '--'],
      ...['node', '--eval', node],
    ])
    t.not(code, 0)
    t.regex(stderr, /EROFS/, name)
    const uid = await cluster.kubectl(
      ...['exec', `--namespace=${system}`, `deployment/latchkey-${name}`, '--'],
      ...['node', '--print', 'process.getuid()'],
    )
    t.is(uid, '65532\n', name)
  }
})
