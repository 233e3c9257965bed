import test from 'ava'
import { randomBytes } from 'node:crypto'
import { collection } from '../e2e/support/kubernetes.ts'
import { until } from '../e2e/support/until.ts'
import { podReady } from './support/pods.ts'
import { filesWith } from './support/search.ts'
import { createShop } from './support/shop.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { pod } from './support/workload.ts'

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const namespace = 'on-disk'

// Nothing else writes these, so wherever they are found they came from what is tested.
const marker = (): string => `marker-${randomBytes(24).toString('hex')}`
const values = { first: marker(), second: marker() }
const harmless = marker()

test.serial(
  'nothing of a secret is on any disk of the node: not of etcd, kubelet, containerd, logs',
  async (t) => {
    const shop = await createShop(cluster, namespace)
    await shop.put('db', { password: values.first })
    await shop.grant('db')
    // What a kubelet does write to the disk, to see that the search finds what is there.
    await cluster.admin.create(collection('v1', 'configmaps', namespace), {
      metadata: { name: 'harmless' },
      data: { text: harmless },
    })
    const secrets = `
- { secret: db, key: password, path: /etc/secrets/password }
- { secret: db, path: /etc/rendered/settings.env, format: dotenv }
`
    const annotated = pod(namespace, 'web', { secrets, user: 1234 }) as {
      spec: { volumes?: object[]; containers: { volumeMounts?: object[] }[] }
    }
    annotated.spec.volumes = [{ name: 'harmless', configMap: { name: 'harmless' } }]
    const [app] = annotated.spec.containers
    if (app !== undefined) app.volumeMounts = [{ name: 'harmless', mountPath: '/etc/harmless' }]
    await cluster.apply(annotated)
    await podReady(cluster, namespace, 'web')
    const read = (): Promise<string> => shop.exec('web', 'app', 'cat', '/etc/secrets/password')
    t.is(await read(), values.first)
    await shop.put('db', { password: values.second })
    await until('the update', async () => (await read()) === values.second, { timeoutMs: 30_000 })

    const search = async (text: string): Promise<readonly string[]> =>
      await filesWith(cluster.directory, [text, Buffer.from(text).toString('base64')])
    t.true((await search(harmless)).some((path) => path.includes('/var/lib/kubelet/pods/')))
    for (const value of Object.values(values)) t.deepEqual(await search(value), [])

    // Gone with the pod, and nothing came to the disk when it went.
    await shop.kubectl('delete', 'pod', 'web')
    for (const value of Object.values(values)) t.deepEqual(await search(value), [])
  },
)
