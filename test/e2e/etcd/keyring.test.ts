import test from 'ava'
import { join } from 'node:path'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { amendKeyring } from '../../../src/keyring/generations.ts'
import { loadRevision, markOfDocument } from '../../../src/keyring/load.ts'
import { openRoot } from '../../../src/keyring/roots/open.ts'
import { openStore } from '../../../src/keyring/stores/open.ts'
import { useGround } from '../support/ground.ts'
import { ok, startKeyringNodes, type KeyringNodes } from '../support/keyring-nodes.ts'
import { until } from '../support/until.ts'

// A keyring in etcd that three nodes share: who they are, and what they have.

const ground = useGround(test)
const random = createRandomPool()
let lab: KeyringNodes

test.before(async () => {
  lab = await startKeyringNodes(ground)
})

test.serial('each has joined, is alive, and has said what it serves', async (t) => {
  await lab.allCurrent()
  const table = await ok(t, lab.latchkey(['keys', 'nodes', ...lab.where]))
  t.regex(table, /^NODE +ALIVE +GENERATION +CURRENT/)
  for (const name of lab.names) t.regex(table, new RegExp(`^${name} +yes +1 +yes`, 'm'))
  await lab.understandEachOther(t)
})

test.serial('a publication is acknowledged by all within a moment', async (t) => {
  const flags = {
    etcdCa: lab.etcd.clientFiles.ca,
    etcdCert: lab.etcd.clientFiles.cert,
    etcdKey: lab.etcd.clientFiles.key,
  }
  const deps = { disk: systemDisk, random, uid: process.getuid?.() ?? 0, cwd: ground.dir }
  const store = await openStore(lab.place.keyring, deps, { etcd: flags })
  ground.defer('store', () => store.close?.())
  const opened = await openRoot(lab.root, {
    ...deps,
    credentialsDirectory: undefined,
    warn: () => undefined,
  })
  const times: number[] = []
  for (let round = 0; round < 10; round += 1) {
    const { keyring, revision } = await loadRevision(store, { roots: [opened], mark: undefined })
    const next = amendKeyring(keyring, { createdAt: '2026-01-02T03:04:05Z' })
    keyring[Symbol.dispose]()
    const { digest } = markOfDocument(next.bytes)
    await store.publish(next.bytes, { replaces: revision })
    const since = performance.now()
    await until(
      'all to acknowledge',
      async () => {
        const { members } = (await store.members?.list()) ?? { members: [] }
        return members.length === 3 && members.every((it) => it.acknowledged?.digest === digest)
      },
      { timeoutMs: 30_000, everyMs: 5 },
    )
    times.push(performance.now() - since)
  }
  times.sort((a, b) => a - b)
  t.log(
    `from publication to the last of three acknowledgements: median ${Math.round(times[5] ?? 0)} ms, longest ${Math.round(times[9] ?? 0)} ms of ${times.length}`,
  )
  t.pass()
})

test.serial('a node is taken out once it is not alive, and never before', async (t) => {
  const alive = await lab.latchkey(['keys', 'nodes', 'remove', 'cp-2', '--yes', ...lab.where])
  t.is(alive.code, 1)
  t.regex(alive.stderr, /is alive/)
  await lab.plugins[1]?.stop()
  await ok(t, lab.latchkey(['keys', 'nodes', 'remove', 'cp-2', '--yes', ...lab.where]))
  t.deepEqual(
    (await lab.nodes()).nodes.map(({ name }) => name),
    ['cp-1', 'cp-3'],
  )
  const unknown = await lab.latchkey(['keys', 'nodes', 'remove', 'cp-9', '--yes', ...lab.where])
  t.regex(unknown.stderr, /there is no node cp-9/)
  await lab.plugins[1]?.start()
  await lab.allCurrent()
})

test.serial('a keyring is copied to a directory and back, to the byte', async (t) => {
  const directory = join(ground.dir, 'exported')
  await ok(t, lab.keys('export', '--to', directory))
  const listed = (place: readonly string[]): Promise<string> =>
    ok(t, lab.latchkey(['keys', 'list', '-o', 'json', ...place, '--root', lab.root]))
  t.is(await listed(['--keyring', directory]), await listed(lab.where))
  const again = await lab.keys('import', '--from', directory)
  t.is(again.code, 3, 'there is one already')
  const other = lab.place.keyring.replace('/latchkey', '/other')
  await ok(
    t,
    lab.latchkey([
      'keys',
      'import',
      '--from',
      directory,
      '--keyring',
      other,
      ...lab.place.flags,
      '--root',
      lab.root,
    ]),
  )
  t.is(await listed(['--keyring', other, ...lab.place.flags]), await listed(lab.where))
})
