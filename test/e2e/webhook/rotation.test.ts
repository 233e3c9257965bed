import test from 'ava'
import { X509Certificate } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { until } from '../support/until.ts'
import { installWebhook, startWebhook, webhookAddress } from '../support/webhook.ts'

const ground = useGround(test)
const host = webhookAddress(ground)
const pods = `${collection('v1', 'pods', 'shop')}?dryRun=All`
const secrets = collection('v1', 'secrets', 'latchkey-system')

let server: ApiServer

/** Every time that matters, as short as a busy machine keeps up with. */
const certificates = {
  'webhook-names': [host],
  'authority-lifetime': '60s',
  'authority-notice': '10s',
  'webhook-lifetime': '20s',
  'broker-lifetime': '20s',
}

test.before(async () => {
  const etcd = await startEtcd(ground)
  const identity = await createClusterIdentity(ground)
  server = await startApiServer(ground, { etcd, identity })
  await server.admin.create(collection('v1', 'namespaces'), { metadata: { name: 'shop' } })
  await server.admin.create(collection('v1', 'serviceaccounts', 'shop'), {
    metadata: { name: 'web' },
  })
  await installWebhook(server, `https://${host}:8443/admit`)
  const webhook = await startWebhook(ground, { server, identity, host, config: { certificates } })
  await until('the webhook', async () => (await fetch(`${webhook.metrics}/readyz`)).ok, {
    timeoutMs: 30_000,
    everyMs: 100,
  })
})

/** The PEM certificates of a key of a Secret. */
async function certificatesOf(name: string, key: string): Promise<readonly string[]> {
  const { data } = (await server.admin.get(secrets, name)) as { data?: Record<string, string> }
  const pem = Buffer.from(data?.[key] ?? '', 'base64').toString()
  return pem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? []
}

/** The authorities, and the broker's certificate of the time in which they were those. */
async function atOneMoment(): Promise<{ authorities: readonly string[]; leaf: string }> {
  for (;;) {
    const authorities = await certificatesOf('latchkey-authority', 'ca.crt')
    const [leaf = ''] = await certificatesOf('latchkey-broker-tls', 'tls.crt')
    const after = await certificatesOf('latchkey-authority', 'ca.crt')
    if (authorities.join() === after.join()) return { authorities, leaf }
  }
}

test('authorities and certificates are replaced while pods are created, and none is refused', async (t) => {
  const [first = ''] = await certificatesOf('latchkey-authority', 'ca.crt')
  const [brokersFirst] = await certificatesOf('latchkey-broker-tls', 'tls.crt')
  const handedOut = new Set<string>()
  let signedByNext = 0
  const started = performance.now()
  const deadline = started + 240_000
  let admitted = 0
  let onlyNext = false
  // From the first authority alone, over both, to the second alone.
  while (!onlyNext && performance.now() < deadline) {
    const created = await server.admin.create(pods, {
      metadata: {
        name: 'web',
        annotations: { 'latchkey.dev/secrets': '- { secret: db, path: /etc/db/ }' },
      },
      spec: { serviceAccountName: 'web', containers: [{ name: 'app', image: 'app' }] },
    })
    admitted += 1
    handedOut.add(created.metadata.annotations?.['latchkey.dev/ca'] ?? '')
    const { authorities, leaf } = await atOneMoment()
    const signer = authorities.findIndex((each) =>
      new X509Certificate(leaf).verify(new X509Certificate(each).publicKey),
    )
    // Whoever is handed the authorities of this moment trusts the broker of this moment.
    t.true(signer >= 0)
    if (authorities[signer] !== first) signedByNext += 1
    onlyNext = !authorities.includes(first)
    await sleep(100)
  }
  t.true(onlyNext)
  t.true(admitted > 50, `${admitted} pods`)
  t.true(signedByNext > 0)
  t.true(handedOut.size >= 3, 'the first alone, both, the next alone')
  t.not((await certificatesOf('latchkey-broker-tls', 'tls.crt'))[0], brokersFirst)
})
