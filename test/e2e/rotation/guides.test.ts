import test from 'ava'
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parse, stringify } from 'yaml'
import { fencedBlocks } from '../../support/markdown.ts'
import { binary } from '../support/binaries.ts'
import { type ControlPlanes, startControlPlanes } from '../support/control-planes.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { ourProgram } from '../support/our-program.ts'
import { type Ran, runProgram } from '../support/run-program.ts'
import { until } from '../support/until.ts'
import { defineWidgets } from '../support/widgets.ts'

// The guides of those who rotate, done: what they tell to type, with this site's paths in place of
// theirs, on three control planes that share a keyring in a real etcd.

const ground = useGround(test)
const guides = join(import.meta.dirname, '../../../deploy/guides')
const secrets = collection('v1', 'secrets', 'default')
const path = (name: string): string => join(ground.dir, name)
/** What the guides write, and what it is here. */
const here: (readonly [theirs: string, ours: string])[] = []
const followed = new Set<string>()

let cluster: ControlPlanes
let env: Record<string, string>

test.before(async () => {
  cluster = await startControlPlanes(ground, { flags: ['--request-timeout=5s'] })
  const [first] = cluster.nodes
  if (first === undefined) throw new Error('a cluster has nodes')
  const { kubeconfig, admin } = first.server
  await defineWidgets(admin)
  for (const name of ['db', 'frozen']) {
    await admin.create(secrets, { metadata: { name }, immutable: name === 'frozen' })
  }
  const { ca, cert, key } = cluster.etcd.clientFiles
  const hosts = cluster.etcd.endpoints.map((endpoint) => endpoint.replace('https://', ''))
  here.push(
    ['10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379', hosts.join(',')],
    ['127.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379', hosts.join(',')],
    ['127.0.0.1:2379', hosts[0] ?? ''],
    ['/etc/kubernetes/pki/apiserver-etcd-client.crt', cert],
    ['/etc/kubernetes/pki/apiserver-etcd-client.key', key],
    ['/etc/kubernetes/pki/etcd/ca.crt', ca],
    [
      '--etcd-ca ca.crt --etcd-cert client.crt --etcd-key client.key',
      `--etcd-ca ${ca} --etcd-cert ${cert} --etcd-key ${key}`,
    ],
    ['/etc/kubernetes/admin.conf', kubeconfig],
    ['--kubeconfig admin.conf', `--kubeconfig ${kubeconfig}`],
    ['widgets.example.com', 'widgets.test.latchkey.dev'],
    ['/run/latchkey/kms.sock', first.socket],
    ['/var/lib/latchkey/keyring', path('directory')],
    ['/var/backups/', `${path('backups')}/`],
    ['/etc/latchkey/etcd-ca.crt', ca],
    ['/etc/latchkey/etcd.crt', cert],
    ['/etc/latchkey/etcd.key', key],
    ['/etc/latchkey/', `${path('etc')}/`],
    ['runuser -u latchkey -- ', ''],
  )
  for (const directory of ['etc', 'backups', 'bin']) await mkdir(path(directory))
  await copyFile(path('root.key'), path('etc/root.key'))
  await chmod(path('etc/root.key'), 0o400)
  const kms = await settings('keyring-in-etcd.md')
  await writeFile(path('etc/kms.yaml'), stringify({ ...kms, 'local-copy': path('etc/copy') }))
  // The API servers' --request-timeout, which the guide says to name where it is not the default.
  const rotate = await settings('rotation.md')
  await writeFile(path('etc/rotate.yaml'), stringify({ ...rotate, 'request-timeout': 5 }))
  const { command, script } = await ourProgram(ground, 'latchkey', 'release')
  await writeFile(path('bin/latchkey'), `#!/bin/sh\nexec '${command}' '${script}' "$@"\n`, {
    mode: 0o755,
  })
  const tools = [await binary('kubectl'), await binary('etcdctl')].map(dirname)
  env = {
    PATH: [path('bin'), ...tools, '/usr/bin', '/bin'].join(':'),
    KUBECONFIG: kubeconfig,
    ETCDCTL_ENDPOINTS: cluster.etcd.endpoints[0] ?? '',
    ...{ ETCDCTL_CACERT: ca, ETCDCTL_CERT: cert, ETCDCTL_KEY: key },
  }
})

const ours = (text: string): string =>
  here.reduce((result, [theirs, mine]) => result.replaceAll(theirs, mine), text)

/** The first YAML block of a guide. */
async function settings(guide: string): Promise<object> {
  const text = await readFile(join(guides, guide), 'utf8')
  const block = fencedBlocks(text).find(({ language }) => language === 'yaml')
  return parse(ours(block?.text ?? '')) as object
}

/**
 * Runs the line of a guide that begins so, continued lines included. `more` is what a person would
 * answer or knows of the site; `changed` are words that stand for another in the guide.
 */
async function follow(
  guide: string,
  beginning: string,
  { more = '', changed = [] }: { more?: string; changed?: (readonly [string, string])[] } = {},
): Promise<Ran> {
  const text = await readFile(join(guides, guide), 'utf8')
  const lines = fencedBlocks(text)
    .filter(({ language }) => language === 'sh')
    .flatMap((block) => block.text.replaceAll(/\\\n\s*/g, '').split('\n'))
  const found = lines.filter((line) => line.startsWith(beginning))
  const [line] = found
  if (line === undefined) throw new Error(`${guide} has no line "${beginning} …"`)
  for (const each of found) followed.add(`${guide}: ${each}`)
  const script = changed.reduce((result, [from, to]) => result.replaceAll(from, to), ours(line))
  return await shell(script + more)
}

async function shell(script: string): Promise<Ran> {
  const args = ['--norc', '-euo', 'pipefail', '-c', script]
  return await runProgram(ground, { command: 'bash', args, env, timeoutMs: 300_000 })
}

interface Listed {
  readonly keys: readonly { readonly id: string; readonly state: string }[]
}

async function keys(more = ''): Promise<Listed['keys']> {
  const { stdout } = await shell(`latchkey keys list --config etc/kms.yaml -o json ${more}`)
  return (JSON.parse(stdout) as Listed).keys
}

test.serial('keyring-in-etcd.md, control-planes.md: the nodes are there', async (t) => {
  for (const guide of ['keyring-in-etcd.md', 'control-planes.md']) {
    const nodes = await follow(guide, 'latchkey keys nodes --config')
    t.is(nodes.code, 0, nodes.stderr)
    t.is(nodes.stdout.match(/^cp-[123] /gm)?.length, 3, nodes.stdout)
  }
  const doctor = await follow('keyring-in-etcd.md', 'latchkey doctor')
  t.is(doctor.code, 0, doctor.stdout + doctor.stderr)
})

test.serial('migration.md: what is stored is rewritten, with etcd and without', async (t) => {
  const guide = 'migration.md'
  const widgets = await follow(
    guide,
    'latchkey etcd migrate --kubeconfig admin.conf --resource secrets --resource',
  )
  t.is(widgets.code, 0, widgets.stderr)
  const accepted = await follow(
    guide,
    'latchkey etcd migrate --kubeconfig admin.conf --resource secrets --accept',
    {
      changed: [['secrets/shop/frozen', 'secrets/default/frozen']],
    },
  )
  t.is(accepted.code, 0, accepted.stderr)
  const withEtcd = await follow(
    guide,
    'latchkey etcd migrate --kubeconfig admin.conf --resource secrets --etcd',
  )
  t.is(withEtcd.code, 0, withEtcd.stderr)
})

test.serial('rotation.md: look, rotate by the timer’s configuration, and by flags', async (t) => {
  const guide = 'rotation.md'
  const [before] = await keys()
  const flags = 'latchkey keys rotate --keyring etcd:'
  const dry = await follow(guide, flags, { more: ' --request-timeout 5 --dry-run' })
  t.is(dry.code, 0, dry.stderr)
  t.deepEqual(await keys(), [before])
  const unit = await readFile(join(guides, guide), 'utf8')
  const start = /^ExecStart=\/usr\/local\/bin\/(latchkey .*)$/m.exec(unit)?.[1] ?? ''
  const timed = await shell(ours(start))
  t.is(timed.code, 0, timed.stderr)
  for (const line of timed.stdout.trim().split('\n')) t.notThrows(() => JSON.parse(line) as unknown)
  const rotated = await follow(guide, flags, { more: ' --request-timeout 5 --yes' })
  t.is(rotated.code, 0, rotated.stderr)
  const status = await follow(guide, 'latchkey status')
  t.is(status.code, 0, status.stdout + status.stderr)
  t.deepEqual(
    (await keys()).map(({ state }) => state),
    ['retired', 'retired', 'active'],
  )
})

test.serial('rotation.md: a key that never encrypted is given up', async (t) => {
  const staged = await shell('latchkey keys stage --config etc/kms.yaml')
  t.is(staged.code, 0, staged.stderr)
  const aborted = await follow('rotation.md', 'latchkey keys rotate --abort', {
    more: ' --yes',
    // As the guide says of a keyring in etcd.
    changed: [[`--listen unix://${cluster.nodes[0]?.socket ?? ''} `, '']],
  })
  t.is(aborted.code, 0, aborted.stderr)
  t.deepEqual((await keys()).at(-1)?.state, 'destroyed')
})

test.serial('rotation.md: a retired key goes when no snapshot needs it', async (t) => {
  const guide = 'rotation.md'
  const saved = await shell('etcdctl snapshot save backups/etcd-2026-01-02.db')
  t.is(saved.code, 0, saved.stderr)
  for (const line of ['latchkey backup register', 'latchkey backup list']) {
    const ran = await follow(guide, line)
    t.is(ran.code, 0, ran.stderr)
  }
  const [oldest] = await keys()
  const destroy = (): Promise<Ran> =>
    follow(guide, 'latchkey keys destroy', {
      more: ' --compact --yes',
      changed: [['lk1.1.DMhdm1xc00CbWOYVd_gEug', oldest?.id ?? '']],
    })
  // It was made minutes after the rotation, and its history has what was written before.
  const needed = await destroy()
  t.is(needed.code, 3, needed.stderr)
  t.regex(needed.stderr, /registered snapshots need key .*etcd-2026-01-02\.db/)
  const removed = await shell('latchkey backup remove etcd-2026-01-02.db --config etc/kms.yaml')
  t.is(removed.code, 0, removed.stderr)
  const destroyed = await destroy()
  t.is(destroyed.code, 0, destroyed.stderr)
  t.is((await keys())[0]?.state, 'destroyed')
})

test.serial('recovery-shares.md: a backup that three of five open', async (t) => {
  const guide = 'recovery-shares.md'
  const exported = await shell('latchkey keys export --to directory --config etc/kms.yaml')
  t.is(exported.code, 0, exported.stderr)
  const backup = await follow(guide, 'latchkey keys backup')
  t.is(backup.code, 0, backup.stderr)
  const files = await readdir(path('shares'))
  t.is(files.length, 5)
  for (const [index, name] of ['my-share', 'share-a', 'share-b', 'share-c'].entries()) {
    await copyFile(path(`shares/${files[index] ?? ''}`), path(`${name}.txt`))
  }
  for (const line of ['latchkey keys shares', 'latchkey keys restore', 'latchkey keys list']) {
    const ran = await follow(guide, line)
    t.is(ran.code, 0, ran.stderr)
  }
})

test.serial('control-planes.md, node-lost.md: nodes that are gone are taken out', async (t) => {
  const lost = [
    ['control-planes.md', 'cp-3'],
    ['node-lost.md', 'cp-2'],
  ] as const
  for (const [guide, name] of lost) {
    const node = cluster.nodes.find((each) => each.name === name)
    const alive = await follow(guide, 'latchkey keys nodes remove', { more: ' --yes' })
    t.is(alive.code, 1, alive.stderr)
    t.regex(alive.stderr, /ERR_MEMBER_ALIVE/)
    // One is taken down in order, and gives up its Lease; the other dies.
    const how = name === 'cp-3' ? 'gracefully' : 'at once'
    await node?.server.stop(how)
    await node?.plugin.stop(how)
    await until(
      `${name} to be taken out`,
      async () => {
        const { code, stderr } = await follow(guide, 'latchkey keys nodes remove', {
          more: ' --yes',
        })
        if (code !== 0) throw new Error(stderr)
        return true
      },
      { timeoutMs: 60_000, everyMs: 1000 },
    )
  }
  const leases = await follow('node-lost.md', 'kubectl --namespace kube-system get leases')
  const lease = /^(apiserver-\S+).* cp-2$/m.exec(leases.stdout)?.[1] ?? ''
  t.not(lease, '', leases.stdout + leases.stderr)
  const deleted = await follow('node-lost.md', 'kubectl --namespace kube-system delete lease', {
    changed: [['lease NAME', `lease ${lease}`]],
  })
  t.is(deleted.code, 0, deleted.stderr)
  const nodes = await follow('node-lost.md', 'latchkey keys nodes --config')
  t.deepEqual(nodes.stdout.match(/^cp-\d/gm), ['cp-1'])
})

test.serial('root.md: a second root beside the first, then alone', async (t) => {
  const add = await follow(
    'root.md',
    'latchkey keys rewrap --config /etc/latchkey/kms.yaml --add-root',
  )
  t.is(add.code, 0, add.stderr)
  t.true((await keys()).length > 0)
  const nodes = await follow('root.md', 'latchkey keys nodes')
  t.is(nodes.code, 0, nodes.stderr)
  const only = await follow(
    'root.md',
    'latchkey keys rewrap --config /etc/latchkey/kms.yaml --new-root',
  )
  t.is(only.code, 0, only.stderr)
  t.true((await keys('--root file:etc/root-2.key')).length > 0)
  const former = await shell('latchkey keys list --config etc/kms.yaml')
  t.is(former.code, 1)
  t.regex(former.stderr, /ERR_ROOT_WRONG/)
})

test.serial('what no test runs is little, and known', async (t) => {
  const left: string[] = []
  const names = ['rotation', 'root', 'control-planes', 'node-lost', 'recovery-shares', 'migration']
  for (const name of [...names, 'keyring-in-etcd']) {
    const text = await readFile(join(guides, `${name}.md`), 'utf8')
    for (const { language, text: script } of fencedBlocks(text)) {
      if (language !== 'sh') continue
      for (const line of script.replaceAll(/\\\n\s*/g, '').split('\n')) {
        if (/^(?:runuser .*)?latchkey /.test(line) && !followed.has(`${name}.md: ${line}`)) {
          left.push(`${name}: ${/latchkey (?:keys |etcd )?[a-z]+/.exec(line)?.[0] ?? line}`)
        }
      }
    }
  }
  // One-node.test.ts, test/e2e/etcd/keyring.test.ts and keyring-contract.test.ts run these.
  t.deepEqual([...new Set(left)].sort(), [
    'keyring-in-etcd: latchkey keys adopt',
    'keyring-in-etcd: latchkey keys import',
    'keyring-in-etcd: latchkey keys init',
    'rotation: latchkey keys rotate',
  ])
})
