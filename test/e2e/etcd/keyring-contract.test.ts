import test from 'ava'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { etcdStore } from '../../../src/keyring/stores/etcd.ts'
import { copyStore } from '../../../src/keyring/stores/keep-copy.ts'
import { keyringStoreContract } from '../../contract/keyring-store.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'

const ground = useGround(test)
const random = createRandomPool()
let etcd: Etcd
let places = 0

test.before('an etcd', async () => {
  etcd = await startEtcd(ground)
})

keyringStoreContract(test, 'real etcd', async () => {
  const client = await openEtcd(etcdAccess(etcd), { clock: systemClock, random })
  ground.defer('client', () => {
    client.close()
  })
  places += 1
  const prefix = `/contract/${places}`
  const copy = copyStore(join(ground.dir, `copy-${places}`), {
    disk: systemDisk,
    random,
    uid: process.getuid?.() ?? 0,
  })
  return () =>
    etcdStore({ etcd: client, prefix, clock: systemClock, localCopy: copy, membership: undefined })
})
