import test from 'ava'
import { readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fencedBlocks } from '../../support/markdown.ts'
import { type ApiServer, startApiServer } from '../support/api-server.ts'
import { binary } from '../support/binaries.ts'
import { createClusterIdentity } from '../support/cluster-identity.ts'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { collection } from '../support/kubernetes.ts'
import { runOk } from '../support/run-program.ts'

const ground = useGround(test)
const root = join(import.meta.dirname, '../../..')

let server: ApiServer
let shell: (script: string) => Promise<string>

test.before(async () => {
  const etcd = await startEtcd(ground)
  server = await startApiServer(ground, { etcd, identity: await createClusterIdentity(ground) })
  const kubectl = await binary('kubectl')
  await symlink(join(root, 'deploy'), join(ground.dir, 'deploy'))
  // What "npx latchkey" runs in a checkout.
  const npx = `npx() { shift; '${process.execPath}' '${join(root, 'cmd/latchkey.ts')}' "$@"; }`
  const path = [dirname(kubectl), dirname(process.execPath), process.env['PATH'] ?? ''].join(':')
  shell = (script) =>
    runOk(ground, {
      command: 'bash',
      args: ['-eo', 'pipefail', '-c', `${npx}\n${script}`],
      env: { PATH: path, KUBECONFIG: server.kubeconfig },
    })
})

const roles = collection('rbac.authorization.k8s.io/v1', 'roles', 'shop')

test('the guide is followed: installed, upgraded, removed', async (t) => {
  const { admin } = server
  const guide = await readFile(join(root, 'deploy/guides/upgrade-and-removal.md'), 'utf8')
  const blocks = fencedBlocks(guide).filter(({ language }) => language === 'sh')
  const places = blocks.map(({ words }) => words[0] ?? '')
  t.deepEqual([...new Set(places)].sort(), ['', 'nodes'])
  const namespaces = collection('v1', 'namespaces')
  await admin.create(namespaces, { metadata: { name: 'shop' } })
  await admin.create(roles, {
    metadata: { name: 'db' },
    rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['db'], verbs: ['mount'] }],
  })
  await shell('kubectl apply -k deploy/cluster && kubectl apply -k deploy/policies')
  await shell('npx latchkey enroll shop')
  const secrets = collection('v1', 'secrets', 'latchkey-system')
  const data = { 'ca.crt': Buffer.from('kept').toString('base64') }
  await admin.patch(secrets, 'latchkey-authority', { data })

  const printed: string[] = []
  for (const { text, words } of blocks) {
    if (words[0] === 'nodes') continue
    printed.push(await shell(text))
    if (!text.includes('kubectl apply -k deploy/cluster')) continue
    const kept = await admin.get(secrets, 'latchkey-authority')
    t.deepEqual(kept['data'], data, 'an upgrade leaves the authority alone')
  }
  t.regex(await readFile(join(ground.dir, 'latchkey-authority.yaml'), 'utf8'), /ca\.crt: a2VwdA==/)
  t.regex(printed.at(-1) ?? '', /^Role\tshop\tdb$/m)
  for (const kind of ['mutatingwebhookconfigurations', 'validatingadmissionpolicies']) {
    const path = collection('admissionregistration.k8s.io/v1', kind)
    t.deepEqual((await admin.list(path)).items, [], kind)
  }
  const rbac = 'rbac.authorization.k8s.io/v1'
  const bindings = await admin.list(collection(rbac, 'rolebindings', 'shop'))
  t.deepEqual(bindings.items, [], 'nobody is left with the right to read Secrets')
  const left = (await admin.list(collection(rbac, 'clusterroles'))).items
  t.deepEqual(
    left.filter(({ metadata }) => metadata.name.startsWith('latchkey')),
    [],
  )
})
