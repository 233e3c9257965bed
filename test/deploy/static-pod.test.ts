import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { isRecord, unknownFields } from '../support/pod-fields.ts'

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const text = await readFile(join(deploy, 'static-pod', 'latchkey-kms.yaml'), 'utf8')
const pod = parse(text, { strict: true, uniqueKeys: true }) as {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: {
    readonly containers: readonly Container[]
    readonly volumes: readonly { name: string; hostPath: { path: string; type: string } }[]
    readonly [field: string]: unknown
  }
}
interface Container {
  readonly image: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly env: readonly { name: string; value: string }[]
  readonly volumeMounts: readonly { name: string; mountPath: string; readOnly?: boolean }[]
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
}
interface Probe {
  readonly httpGet: { host: string; port: number; path: string }
}
const [container] = pod.spec.containers as [Container]

test('the static pod has no field that Kubernetes does not know', (t) => {
  t.deepEqual(unknownFields(pod), [])
})

test('the check for unknown fields finds a misspelt one, at any depth', (t) => {
  const wrong: unknown = parse(text.replace('readOnlyRootFilesystem', 'readonlyRootFilesystem'))
  t.deepEqual(unknownFields(wrong), ['spec.containers[0].securityContext.readonlyRootFilesystem'])
  const nested: unknown = parse(text.replace('hostPath: {', 'hostpath: {'))
  t.is(unknownFields(nested)[0], 'spec.volumes[0].hostpath')
})

test('the static pod needs nothing that only a running API server could give', (t) => {
  t.is(pod.spec['automountServiceAccountToken'], false)
  t.is(pod.spec['enableServiceLinks'], false)
  t.is(pod.spec['hostNetwork'], true)
  t.false('serviceAccountName' in pod.spec)
  t.is(pod.spec['priority'], 2_000_001_000)
  for (const volume of pod.spec.volumes) t.deepEqual(Object.keys(volume).sort(), ['hostPath', 'name'])
  t.true(container.env.every((variable) => 'value' in variable))
  t.false(/secretKeyRef|configMapKeyRef|envFrom|secretRef/.test(text))
})

test('the static pod runs without privilege', (t) => {
  t.like(pod.spec['securityContext'], {
    runAsNonRoot: true,
    runAsUser: 65_532,
    seccompProfile: { type: 'RuntimeDefault' },
  })
  t.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
})

test('volumes are directories, each mounted; only configuration and root are read-only', (t) => {
  const paths = new Map(pod.spec.volumes.map(({ name, hostPath }) => [name, hostPath]))
  t.deepEqual(
    container.volumeMounts.map(({ name, mountPath, readOnly }) => [
      mountPath,
      readOnly ?? false,
      paths.get(name),
    ]),
    ['/etc/latchkey', '/var/lib/latchkey', '/run/latchkey'].map((path) => [
      path,
      path === '/etc/latchkey',
      { path, type: 'Directory' },
    ]),
  )
  t.is(paths.size, container.volumeMounts.length)
})

test('tmpfiles.d makes each of its directories for its user', async (t) => {
  const lines = await readFile(join(deploy, 'static-pod', 'tmpfiles.d', 'latchkey.conf'), 'utf8')
  const made = new Map(
    lines
      .split('\n')
      .filter((line) => line.startsWith('d '))
      .map((line) => line.split(/ +/))
      .map(([, path = '', mode, user, group]) => [path, { mode, user, group }]),
  )
  for (const { hostPath } of pod.spec.volumes) t.true(made.has(hostPath.path), hostPath.path)
  const own = { user: '65532', group: '65532' }
  t.like(made.get('/var/lib/latchkey'), { mode: '0700', ...own })
  t.like(made.get('/run/latchkey'), { mode: '0755', ...own })
  t.like(made.get('/etc/latchkey'), { mode: '0750', user: 'root', group: '65532' })
})

test('it runs a program of ours, on the files of kms.yaml, and probes what it serves', async (t) => {
  const [command = ''] = container.command
  t.true(command in manifest.bin)
  t.is(container.image, `latchkey:${manifest.version}`)
  const config: unknown = parse(await readFile(join(deploy, 'systemd', 'kms.yaml'), 'utf8'))
  t.true(isRecord(config))
  if (!isRecord(config)) return
  const mounted = container.volumeMounts.map(({ mountPath }) => mountPath)
  for (const value of Object.values(config)) {
    const path = String(value).replace(/^(?:file:|unix:\/\/)/, '')
    t.true(mounted.some((directory) => path.startsWith(`${directory}/`)), path)
  }
  const [, host, port] =
    /^--metrics=(.*):([0-9]+)$/.exec(container.args.find((it) => it.startsWith('--metrics')) ?? '') ?? []
  t.is(host, '127.0.0.1')
  for (const { httpGet } of [
    container.startupProbe,
    container.livenessProbe,
    container.readinessProbe,
  ]) {
    t.like(httpGet, { host, port: Number(port) })
    t.true(['/livez', '/readyz'].includes(httpGet.path))
  }
})
