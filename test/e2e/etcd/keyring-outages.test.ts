import test from 'ava'
import { join } from 'node:path'
import { useGround } from '../support/ground.ts'
import {
  finds,
  ok,
  patience,
  startKeyringNodes,
  type KeyringNodes,
} from '../support/keyring-nodes.ts'
import { until } from '../support/until.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { etcdAccess } from '../support/etcd-access.ts'

// What becomes of a keyring in etcd, and of the nodes that share it, when one of them, or etcd, is
// gone, cut off, or taken back.

const ground = useGround(test)
let lab: KeyringNodes
let client: EtcdClient

test.before(async () => {
  lab = await startKeyringNodes(ground)
  client = await openEtcd(etcdAccess(lab.etcd), { clock: systemClock, random: createRandomPool() })
  ground.defer('client', () => {
    client.close()
  })
})

test.serial('a node that was killed blocks, alive or not, and its return lets go on', async (t) => {
  await lab.plugins[2]?.stop('at once')
  const staged = await ok(t, lab.keys('stage'))
  await until(
    'the two others to have it',
    async () => (await lab.nodes()).nodes.slice(0, 2).every(({ current }) => current),
    patience,
  )
  const refused = await lab.keys('activate')
  t.is(refused.code, 3)
  t.regex(refused.stderr, /cp-3/)
  t.notRegex(refused.stderr, /cp-[12] /)
  await until(
    'its sign of life to run out',
    async () => !(await lab.nodes()).nodes[2]?.alive,
    patience,
  )
  const still = await lab.keys('activate')
  t.is(still.code, 3)
  t.regex(still.stderr, /cp-3 \(not alive/)
  for (const kms of lab.sockets.slice(0, 2)) t.not((await kms.status()).keyId, staged)
  await lab.plugins[2]?.start()
  await lab.allCurrent()
  t.is(await ok(t, lab.keys('activate')), staged)
  await lab.everywhere(staged)
  await lab.understandEachOther(t)
})

test.serial(
  'a node that is cut off goes on with its key, and nobody uses one that it lacks',
  async (t) => {
    await lab.allCurrent()
    const before = await lab.keyIds()
    await lab.etcd.members[2]?.stop('at once')
    await until(
      'it to be noticed',
      async () => await finds(lab.plugins[2], 'unconfirmed'),
      patience,
    )
    await ok(t, lab.keys('stage'))
    const refused = await lab.keys('activate')
    t.is(refused.code, 3)
    t.regex(refused.stderr, /cp-3/)
    t.deepEqual(await lab.keyIds(), before)
    await lab.understandEachOther(t)
    await lab.etcd.members[2]?.start()
    await lab.allCurrent()
    await until(
      'it to be confirmed',
      async () => !(await finds(lab.plugins[2], 'unconfirmed')),
      patience,
    )
    const active = await ok(t, lab.keys('activate'))
    await lab.everywhere(active)
  },
)

test.serial(
  'nodes that boot without etcd serve what they served, and say that it is unconfirmed',
  async (t) => {
    await lab.allCurrent()
    const before = await lab.keyIds()
    for (const member of lab.etcd.members) await member.stop('at once')
    for (const plugin of lab.plugins) await plugin.stop('at once')
    for (const plugin of lab.plugins) await plugin.start()
    t.deepEqual(await lab.keyIds(), before)
    await lab.understandEachOther(t)
    for (const plugin of lab.plugins) {
      await until('it to be said', async () => await finds(plugin, 'unconfirmed'), patience)
      t.regex(plugin.child().stderr(), /kms\.local_copy_served/)
    }
    await Promise.all(lab.etcd.members.map((member) => member.start()))
    for (const plugin of lab.plugins) {
      await until('etcd to confirm it', async () => !(await finds(plugin, 'unconfirmed')), patience)
    }
    await lab.allCurrent()
  },
)

test.serial(
  'an etcd that is taken back is refused, also by a node that boots, until adopt mends it',
  async (t) => {
    const older = (await client.range('/latchkey/keyring')).entries[0]?.value
    if (older === undefined) return t.fail()
    await ok(t, lab.keys('stage'))
    await lab.allCurrent()
    const newest = (await lab.nodes()).generation
    const active = await ok(t, lab.keys('activate'))
    await lab.everywhere(active)
    await lab.allCurrent()
    // What a restored snapshot holds.
    await client.put('/latchkey/keyring', older)
    for (const plugin of lab.plugins) {
      await until('it to be refused', async () => await finds(plugin, 'keyring-refused'), patience)
    }
    await lab.plugins[0]?.stop('at once')
    await lab.plugins[0]?.start()
    t.true((await lab.keyIds()).every((id) => id === active))
    await lab.understandEachOther(t)
    const copy = join(ground.dir, 'cp-1', 'keyring')
    await ok(t, lab.keys('adopt', '--from', copy, '--yes'))
    await lab.allCurrent()
    t.true((await lab.nodes()).generation > newest + 1)
    t.true((await lab.keyIds()).every((id) => id !== ''))
    await lab.understandEachOther(t)
    for (const plugin of lab.plugins) {
      await until('it to be taken', async () => !(await finds(plugin, 'keyring-refused')), patience)
    }
  },
)
