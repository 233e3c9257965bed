import test from 'ava'
import { stringify } from 'yaml'
import { sha256Label } from '../../../src/base/bytes.ts'
import { objectOf, objectsOf, textOf } from '../../../src/injection/pod/json.ts'
import type { Json, JsonObject } from '../../../src/injection/pod/json.ts'
import { describeProblem } from '../../../src/injection/problem.ts'
import { injectPod, type InjectionContext } from '../../../src/webhook/inject/inject.ts'
import { diffJson } from '../../../src/webhook/inject/json-patch.ts'
import { applyJsonPatch } from '../../support/apply-json-patch.ts'
import { contextOf, injectionVectors, vectorCa } from '../../support/injection.ts'

const vectors = await injectionVectors()

test('there are vectors', (t) => {
  t.true(vectors.length >= 14)
})

const injected = (pod: JsonObject, context: InjectionContext): JsonObject => {
  const result = injectPod(pod, context)
  if (result.kind === 'injected') return result.pod
  const problems =
    result.kind === 'refused' ? result.problems.map(describeProblem) : result.warnings
  throw new Error(problems.join('\n'))
}

const sidecarOf = (pod: JsonObject): JsonObject =>
  objectOf(
    objectsOf(objectOf(pod['spec'])['initContainers']).find((it) => it['name'] === 'latchkey'),
  )

for (const vector of vectors) {
  const context = contextOf(vector)

  test(`the patch is the one written down: ${vector.title}`, (t) => {
    const result = injectPod(vector.pod, context)
    if (result.kind !== 'injected') {
      t.fail(JSON.stringify(result))
      return
    }
    t.deepEqual(diffJson(vector.pod, result.pod), vector.patch)
    t.deepEqual(result.warnings, vector.warnings)
    t.deepEqual(applyJsonPatch(vector.pod, vector.patch), result.pod as Json)
  })

  test(`a second look changes nothing: ${vector.title}`, (t) => {
    const once = injected(vector.pod, context)
    t.deepEqual(diffJson(once, injected(once, context)), [])
  })

  test(`the order of fields does not matter: ${vector.title}`, (t) => {
    const sorted = JSON.parse(JSON.stringify(vector.pod), (_name, value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).reverse())
        : value,
    ) as JsonObject
    t.deepEqual(injected(sorted, context), injected(vector.pod, context))
  })

  test(`only the sidecar has token, plan and authorities, and only it may write: ${vector.title}`, (t) => {
    const pod = injected(vector.pod, context)
    const spec = objectOf(pod['spec'])
    const own = ['latchkey-pod', 'latchkey-state', 'latchkey-no-token']
    for (const container of [
      ...objectsOf(spec['initContainers']),
      ...objectsOf(spec['containers']),
    ]) {
      if (container['name'] === 'latchkey') continue
      for (const mount of objectsOf(container['volumeMounts'])) {
        const name = textOf(mount['name']) ?? ''
        t.false(own.includes(name))
        if (name.startsWith('latchkey-files-')) t.is(mount['readOnly'], true)
      }
    }
    for (const volume of objectsOf(spec['volumes'])) {
      const memory = objectOf(volume['emptyDir'])
      const name = textOf(volume['name']) ?? ''
      if (!name.startsWith('latchkey-') || name === own[0]) continue
      t.is(memory['medium'], 'Memory')
      t.regex(textOf(memory['sizeLimit']) ?? '', /^[0-9]+(Ki|Mi)$/)
    }
  })

  test(`the sidecar is as the restricted Pod Security Standard wants it: ${vector.title}`, (t) => {
    const security = objectOf(sidecarOf(injected(vector.pod, context))['securityContext'])
    t.like(security, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    t.not(security['runAsUser'], 0)
  })
}

const pod = (list: string, spec: JsonObject = {}): JsonObject => ({
  metadata: { name: 'web', annotations: { 'latchkey.dev/secrets': list } },
  spec: { serviceAccountName: 'web', containers: [{ name: 'app' }], ...spec },
})
const good = '- { secret: db, path: /etc/db/ }'
const context = contextOf({})

test('digests of plan and authorities are arguments, which nobody can change afterwards', (t) => {
  const result = injected(pod(good), context)
  const annotations = objectOf(objectOf(result['metadata'])['annotations'])
  const args = sidecarOf(result)['args'] as readonly string[]
  t.true(
    args.includes(`--plan-digest=${sha256Label(textOf(annotations['latchkey.dev/plan']) ?? '')}`),
  )
  t.true(args.includes(`--ca-digest=${sha256Label(vectorCa)}`))
})

test('no two servers of a pod, or of pods that share a host, get one port', (t) => {
  const argumentsOf = (spec: JsonObject, metricsPort: number): string => {
    const settings = { ...context.settings, metricsPort }
    const args = sidecarOf(injected(pod(good, spec), { ...context, settings }))['args']
    return (args as readonly string[]).filter((it) => /^--(health|metrics)/.test(it)).join(' ')
  }
  const taken = (port: number): JsonObject => ({
    containers: [{ name: 'app', ports: [{ containerPort: port }] }],
  })
  const address = '[$(POD_IP)]'
  t.is(argumentsOf({}, 9102), `--health=${address}:24442 --metrics=${address}:9102`)
  t.is(argumentsOf({}, 24_442), `--health=${address}:24443 --metrics=${address}:24442`)
  t.is(argumentsOf(taken(24_442), 24_443), `--health=${address}:24444 --metrics=${address}:24443`)
  t.is(argumentsOf(taken(9102), 9102), `--health=${address}:24442`)
  t.notRegex(argumentsOf({ hostNetwork: true }, 9102), /metrics/)
  const settings = { ...context.settings, metricsPort: 9102 }
  const result = injectPod(pod(good, taken(9102)), { ...context, settings })
  t.deepEqual(result.kind === 'injected' && result.warnings, [
    'the sidecar serves no metrics, because port 9102 may be taken by others of this pod or node',
  ])
})

test('a list that is wrong, or does not fit the pod, is refused with its problems', (t) => {
  const refusal = (list: string): unknown => {
    const result = injectPod(pod(list), context)
    return result.kind === 'refused' && result.problems.map(describeProblem)
  }
  t.deepEqual(refusal(''), [
    'expected a list of entries, got nothing; write at least one entry that starts with "- secret: NAME"',
  ])
  t.deepEqual(refusal('- { secret: db, path: /etc/db/, containers: [x] }'), [
    'entry 1, containers: names x, which the pod does not have; name some of app',
  ])
})

test('static pods are left as they are, with a word', (t) => {
  const annotations = { 'latchkey.dev/secrets': good, 'kubernetes.io/config.mirror': 'x' }
  const result = injectPod({ ...pod(good), metadata: { annotations } }, context)
  t.is(result.kind, 'left')
})

test('the health port gives way to a port of the pod', (t) => {
  const ports = [{ containerPort: 24442 }, { containerPort: 24443 }]
  const result = injected(pod(good, { containers: [{ name: 'app', ports }] }), context)
  t.like(sidecarOf(result)['startupProbe'], { httpGet: { port: 24444 } })
})

test('on the host’s network a controller’s pods share a port, and controllers hardly ever do', (t) => {
  const portOf = (kind: string, name: string, podName: string): unknown => {
    const owner = { kind, name, controller: true }
    const base = pod(good, { hostNetwork: true })
    const metadata = { ...objectOf(base['metadata']), name: podName, ownerReferences: [owner] }
    const probe = objectOf(sidecarOf(injected({ ...base, metadata }, context))['startupProbe'])
    return objectOf(probe['httpGet'])['port']
  }
  t.is(portOf('DaemonSet', 'a', 'a-1'), portOf('DaemonSet', 'a', 'a-2'))
  const ports = new Set(Array.from({ length: 100 }, (_, i) => portOf('DaemonSet', `d${i}`, 'p')))
  t.true(ports.size > 90)
  for (const port of ports) t.true(Number(port) >= 25_000 && Number(port) < 29_000)
})

test('where nothing is known of the namespace, both meshes are told to leave the ports alone', (t) => {
  const result = injected(pod(good), { ...context, namespaceFacts: undefined })
  t.like(objectOf(result['metadata'])['annotations'], {
    'traffic.sidecar.istio.io/excludeInboundPorts': '24442',
    'traffic.sidecar.istio.io/excludeOutboundPorts': '24443',
    'config.linkerd.io/skip-inbound-ports': '24442',
    'config.linkerd.io/skip-outbound-ports': '24443',
  })
})

const excluded = (options: {
  readonly labels?: Record<string, string>
  readonly annotations?: Record<string, string>
  readonly namespace?: { readonly labels: JsonObject; readonly annotations: JsonObject }
  readonly spec?: JsonObject
}): readonly string[] => {
  const base = pod(good, options.spec)
  const metadata = objectOf(base['metadata'])
  const annotations = { ...objectOf(metadata['annotations']), ...options.annotations }
  const result = injected(
    { ...base, metadata: { ...metadata, annotations, labels: options.labels ?? {} } },
    contextOf(options.namespace === undefined ? {} : { namespace: options.namespace }),
  )
  return Object.entries(objectOf(objectOf(result['metadata'])['annotations']))
    .filter(([name]) => /exclude|skip/.test(name))
    .map(([name, value]) => `${name}=${textOf(value) ?? ''}`)
}

const istio = [
  'traffic.sidecar.istio.io/excludeInboundPorts=24442',
  'traffic.sidecar.istio.io/excludeOutboundPorts=24443',
]
const linkerd = [
  'config.linkerd.io/skip-inbound-ports=24442',
  'config.linkerd.io/skip-outbound-ports=24443',
]
const labelled = (
  labels: JsonObject,
  annotations: JsonObject = {},
): { labels: JsonObject; annotations: JsonObject } => ({
  labels,
  annotations,
})

test('a mesh is recognised by its containers, labels and annotations, of pod and namespace', (t) => {
  t.deepEqual(excluded({}), [])
  t.deepEqual(excluded({ labels: { 'sidecar.istio.io/inject': 'true' } }), istio)
  t.deepEqual(excluded({ annotations: { 'sidecar.istio.io/inject': 'true' } }), istio)
  t.deepEqual(excluded({ labels: { 'istio.io/rev': 'canary' } }), istio)
  t.deepEqual(excluded({ namespace: labelled({ 'istio-injection': 'enabled' }) }), istio)
  t.deepEqual(excluded({ namespace: labelled({ 'istio.io/rev': 'canary' }) }), istio)
  t.deepEqual(
    excluded({
      labels: { 'sidecar.istio.io/inject': 'false' },
      namespace: labelled({ 'istio-injection': 'enabled' }),
    }),
    [],
  )
  t.deepEqual(
    excluded({ namespace: labelled({ 'istio.io/rev': 'x', 'istio-injection': 'disabled' }) }),
    [],
  )
  const proxied = { containers: [{ name: 'app' }, { name: 'istio-proxy' }] }
  t.deepEqual(excluded({ spec: proxied }), istio)
  t.deepEqual(excluded({ annotations: { 'linkerd.io/inject': 'enabled' } }), linkerd)
  t.deepEqual(excluded({ namespace: labelled({}, { 'linkerd.io/inject': 'ingress' }) }), linkerd)
  t.deepEqual(
    excluded({
      annotations: { 'linkerd.io/inject': 'disabled' },
      namespace: labelled({}, { 'linkerd.io/inject': 'enabled' }),
    }),
    [],
  )
})

test('what a mesh was told to leave alone stays told', (t) => {
  const name = 'config.linkerd.io/skip-outbound-ports'
  const after = (before: string): string | undefined =>
    excluded({ annotations: { 'linkerd.io/inject': 'enabled', [name]: before } }).find((line) =>
      line.startsWith(name),
    )
  t.is(after(''), `${name}=24443`)
  t.is(after('3306, 25'), `${name}=3306, 25,24443`)
  t.is(after('24443'), `${name}=24443`)
  t.is(after('24000-25000'), `${name}=24000-25000`)
  t.is(after('*'), `${name}=*`)
})

test('what the operator’s settings do to a pod is said', (t) => {
  const warnings = (base: JsonObject, settings = {}): readonly string[] => {
    const result = injectPod(base, contextOf({ settings }))
    return result.kind === 'injected' ? result.warnings : []
  }
  t.deepEqual(warnings(pod(good)), [])
  const resources = { limits: { cpu: '1', memory: '1Gi' } }
  const guaranteed = pod(good, { containers: [{ name: 'app', resources }] })
  t.regex(warnings(guaranteed).join(), /QoS class becomes Burstable/)
  const classic = pod(good, { containers: [{ name: 'app' }, { name: 'istio-proxy' }] })
  t.regex(warnings(classic, { mesh: 'through' }).join(), /no native sidecar/)
  t.regex(warnings(classic).join(), /traffic of the whole pod to port 24443 goes past istio/)
  t.deepEqual(warnings(classic, { mesh: 'ignore' }), [])
})

test('thousands of entries over many containers are injected in milliseconds', (t) => {
  const entries = Array.from({ length: 128 }, (_, i) => ({ secret: 's', path: `/etc/d${i}/` }))
  const containers = Array.from({ length: 20 }, (_, i) => ({ name: `c${i}` }))
  const large = pod(stringify(entries), { containers })
  injected(large, context)
  const started = process.cpuUsage()
  diffJson(large, injected(large, context))
  const { user, system } = process.cpuUsage(started)
  t.true(user + system < 3_000_000, `${user + system} µs`)
})
