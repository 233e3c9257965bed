import test from 'ava'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { openEtcd, openEtcdClusters } from '../../../src/clients/etcd/open.ts'
import { createAuthority, writeIdentity } from '../support/authority.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const deps = { clock: systemClock, random: createRandomPool() }
let etcd: Etcd

test.before('an etcd of two members', async () => {
  etcd = await startEtcd(ground, { members: 2 })
})

test.serial('members that were named one by one are one cluster', async (t) => {
  const accesses = etcd.endpoints.map((endpoint) => etcdAccess(etcd, { urls: endpoint }))
  const clients = await openEtcdClusters(accesses, deps)
  t.is(clients.length, 1)
  t.is(clients[0]?.location, etcd.endpoints.join(','))
  for (const opened of clients) opened.close()
})

test.serial('who is not trusted is told so, either way', async (t) => {
  const stranger = await createAuthority('stranger')
  const identity = await writeIdentity(
    ground.dir,
    'stranger',
    await stranger.issue({ commonName: 'stranger', use: ['client'] }),
  )
  const other = join(ground.dir, 'stranger-ca.crt')
  await writeFile(other, stranger.cert)
  for (const files of [
    { ...identity, ca: etcd.clientFiles.ca },
    { ...etcd.clientFiles, ca: other },
  ]) {
    using opened = await openEtcd(etcdAccess(etcd, { files }), deps)
    await t.throwsAsync(opened.range('/a', { timeoutMs: 1_000 }), { code: 'ERR_ETCD_UNAVAILABLE' })
  }
})

test.serial('a certificate that is replaced is used from then on', async (t) => {
  const stranger = await createAuthority('stranger')
  const files = await writeIdentity(
    ground.dir,
    'renewed',
    await stranger.issue({ commonName: 'renewed', use: ['client'] }),
  )
  const stop = new AbortController()
  using opened = await openEtcd(
    etcdAccess(etcd, { files: { ...files, ca: etcd.clientFiles.ca } }),
    {
      ...deps,
      reload: { signal: stop.signal, everyMs: 100 },
    },
  )
  await t.throwsAsync(opened.range('/a', { timeoutMs: 500 }), { code: 'ERR_ETCD_UNAVAILABLE' })
  await writeFile(files.cert, await readFile(etcd.clientFiles.cert))
  await writeFile(files.key, await readFile(etcd.clientFiles.key))
  await until(
    'the new certificate to be used',
    async () => (await opened.range('/a', { timeoutMs: 5_000 })).count === 0,
    { timeoutMs: 20_000 },
  )
  stop.abort()
  t.pass()
})
