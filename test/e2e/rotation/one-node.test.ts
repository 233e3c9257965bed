import test from 'ava'
import { join } from 'node:path'
import {
  type ControlPlane,
  type ControlPlanes,
  startControlPlanes,
} from '../support/control-planes.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { describeLoad, startLoad } from '../support/load.ts'
import { readStoredObject } from '../support/stored-object.ts'

// `latchkey keys rotate` where it is simplest: one control plane, a keyring in a directory.

const ground = useGround(test)
const secrets = collection('v1', 'secrets', 'default')

let cluster: ControlPlanes
let node: ControlPlane

test.before(async () => {
  cluster = await startControlPlanes(ground, {
    count: 1,
    flags: ['--request-timeout=5s'],
    place: () => ({ keyring: join(ground.dir, 'keyring'), flags: [], nodeFlags: () => [] }),
  })
  const [only] = cluster.nodes
  if (only === undefined) throw new Error('a cluster has a node')
  node = only
})

const rotate = (...more: readonly string[]): readonly string[] => [
  ...['keys', 'rotate', ...cluster.keyring, ...cluster.etcdFlags],
  ...['--kubeconfig', node.server.kubeconfig, '--request-timeout', '5', ...more],
]

async function keysInEtcd(): Promise<readonly string[]> {
  const values = [
    ...(await cluster.etcd.client.list('/registry/secrets/')),
    ...(await cluster.etcd.client.list('/registry/configmaps/')),
  ]
  return [...new Set(values.map(({ value }) => readStoredObject(value)?.keyId ?? 'plain'))]
}

test.serial('a dry run says what would be done, and changes nothing', async (t) => {
  const before = await cluster.latchkey(['keys', 'list', ...cluster.keyring, '-o', 'json'])
  const without = await cluster.latchkey(rotate('--dry-run'))
  t.is(without.code, 2, without.stderr)
  t.regex(without.stderr, /--listen is missing/)
  const ran = await cluster.latchkey(rotate('--dry-run', '--listen', `unix://${node.socket}`))
  t.is(ran.code, 0, ran.stderr)
  t.regex(ran.stdout, /API servers that must be proved.*: cp-1\./)
  t.is(
    (await cluster.latchkey(['keys', 'list', ...cluster.keyring, '-o', 'json'])).stdout,
    before.stdout,
  )
})

test.serial(
  'one command rotates the key under a load: nothing fails, and etcd is proved',
  async (t) => {
    const load = startLoad(t, node.server.admin)
    const began = performance.now()
    for (let count = 0; count < 20; count += 1) {
      await node.server.admin.create(secrets, { metadata: { name: `old-${count}` } })
    }
    const [before] = await keysInEtcd()
    const ran = await cluster.latchkey(rotate('--listen', `unix://${node.socket}`, '--yes'), {
      timeoutMs: 300_000,
    })
    t.log(ran.stderr)
    t.is(ran.code, 0, ran.stderr)
    const report = await load.stop()
    t.log(describeLoad(report, (performance.now() - began) / 1000))
    t.deepEqual(report.failures, [])
    t.deepEqual(await keysInEtcd(), [ran.stdout.trim()])
    t.not(ran.stdout.trim(), before)
    const listed = await cluster.latchkey(['keys', 'list', ...cluster.keyring, '-o', 'json'])
    const { keys } = JSON.parse(listed.stdout) as { keys: { id: string; state: string }[] }
    t.deepEqual(
      keys.map(({ id, state }) => [id, state]),
      [
        [before, 'retired'],
        [ran.stdout.trim(), 'active'],
      ],
    )
    const canaries = await cluster.etcd.client.list('/registry/secrets/kube-system/latchkey-canary')
    t.deepEqual(canaries, [])
  },
)
