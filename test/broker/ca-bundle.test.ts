import test from 'ava'
import * as fs from 'node:fs/promises'
import { readCaBundle } from '../../src/broker/ca-bundle.ts'
import { createAuthority } from '../e2e/support/authority.ts'
import { until } from '../e2e/support/until.ts'
import { openStream } from '../support/broker-client.ts'
import { startBroker } from '../support/broker.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { startFakeKubernetes } from '../support/fake-kubernetes.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

const soon = { timeoutMs: 40_000, everyMs: 10 }

test('authorities are handed out when a stream opens, and newer ones while it lasts', async (t) => {
  const directory = await temporaryDirectory(t)
  const [now, next] = [await createAuthority('now'), await createAuthority('next')]
  const path = `${directory}/bundle.pem`
  await fs.writeFile(path, `# the one in use\n${now.cert}`)
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  const broker = await startBroker(t, { kubernetes, directory, flags: ['--tls-ca', path] })
  const it = openStream(t, broker, { token: cluster.token(cluster.addPod()), references: ['db'] })
  await until('the bundle', () => it.bundles.length === 1, soon)
  t.is(it.bundles[0]?.trim(), now.cert.trim())
  await fs.writeFile(path, 'nonsense')
  await until('the refusal', () => broker.log.of('broker.ca_bundle_refused').length > 0, soon)
  await fs.writeFile(path, `${now.cert}\n${next.cert}`)
  await until('the newer bundle', () => it.bundles.length === 2, soon)
  t.is(it.bundles[1]?.split('BEGIN CERTIFICATE').length, 3)
})

test('what is no bundle of authorities is refused', async (t) => {
  const directory = await temporaryDirectory(t)
  const authority = await createAuthority('authority')
  const leaf = await authority.issue({ commonName: 'leaf', use: ['server'] })
  const path = `${directory}/bundle.pem`
  const many = Array.from({ length: 33 }, () => authority.cert).join('\n')
  const broken = authority.cert.replace(/^[A-Za-z0-9+/]{20}/m, 'A'.repeat(20))
  for (const text of ['', leaf.cert, leaf.key, many, broken, 'x'.repeat(200_000)]) {
    await fs.writeFile(path, text)
    await t.throwsAsync(readCaBundle(path), { code: 'ERR_TLS_INVALID' })
  }
  await fs.rm(path)
  await t.throwsAsync(readCaBundle(path), { code: 'ERR_TLS_INVALID' })
  await fs.writeFile(path, authority.cert)
  t.is((await readCaBundle(path)).toString().trim(), authority.cert.trim())
})
