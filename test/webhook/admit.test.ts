import test from 'ava'
import { objectOf, objectsOf, type JsonObject } from '../../src/injection/pod/json.ts'
import { admit } from '../../src/webhook/admit.ts'
import type { Decision } from '../../src/webhook/decision.ts'
import { readReview } from '../../src/webhook/review.ts'
import { admissionDeps, podWith, reviewBody } from '../support/admission.ts'
import { applyJsonPatch } from '../support/apply-json-patch.ts'

const good = '- { secret: db, path: /etc/db/ }'
const wrong = '- secret: db\n  path: /proc/x/\n'
const decide = (request: Parameters<typeof reviewBody>[0]): Decision =>
  admit(readReview(reviewBody(request)), admissionDeps)

const injected = ((): JsonObject => {
  const { answer } = decide({ object: podWith(good) })
  return applyJsonPatch(podWith(good), answer.patch ?? []) as JsonObject
})()

const change = (pod: JsonObject, name: string, value: string | undefined): JsonObject => {
  const metadata = objectOf(pod['metadata'])
  const annotations = { ...objectOf(metadata['annotations']), [name]: value }
  return { ...pod, metadata: { ...metadata, annotations } }
}

test('a pod that declares secrets gets its patch, and the API server’s audit its plan', (t) => {
  const { outcome, answer, plan } = decide({ object: podWith(good) })
  t.is(outcome, 'injected')
  t.true(answer.allowed)
  t.true((answer.patch?.length ?? 0) > 3)
  t.deepEqual(answer.annotations, { decision: 'injected', plan: plan?.digest ?? '' })
})

test('a list that is wrong is refused with every problem, its line and its remedy', (t) => {
  const { outcome, why, answer } = decide({ object: podWith(`${wrong}- secret: db\n`) })
  t.is(outcome, 'refused')
  t.is(why, 'ERR_PLAN_INVALID')
  t.false(answer.allowed)
  t.is(
    answer.message,
    'latchkey.dev/secrets: line 2: entry 1, path: is in /proc, which belongs to the kernel; choose a directory of your own, such as /etc/app/secrets\nline 3: entry 2, path: is missing; add path: /etc/app/NAME',
  )
})

test('of very many problems the first are told', (t) => {
  const { answer } = decide({ object: podWith('- {}\n'.repeat(30)) })
  t.is(answer.message?.split('\n').length, 21)
  t.regex(answer.message ?? '', /\nand 40 more$/)
})

test('a pod without a declaration is left alone, unless it pretends to have been injected', (t) => {
  const plain = { metadata: { name: 'web' }, spec: { containers: [{ name: 'app' }] } }
  t.deepEqual(decide({ object: plain }), {
    outcome: 'left',
    answer: { allowed: true, warnings: [], annotations: {} },
  })
  for (const name of ['latchkey.dev/plan', 'latchkey.dev/ca']) {
    const { answer } = decide({ object: change(plain, name, 'x') })
    t.is(answer.message, `${name} is written by Latchkey alone; remove it`)
  }
})

test('a pod that was injected elsewhere and copied is injected anew', (t) => {
  const { outcome, answer } = decide({ object: change(injected, 'latchkey.dev/plan', '[]') })
  t.is(outcome, 'injected')
  t.deepEqual(
    answer.patch?.map(({ op, path }) => `${op} ${path}`),
    ['replace /metadata/annotations/latchkey.dev~1plan'],
  )
})

test('exempt namespaces are left alone, with a word', (t) => {
  for (const namespace of ['kube-system', 'latchkey-system']) {
    const { outcome, answer } = decide({ namespace, object: podWith(good) })
    t.is(outcome, 'left')
    t.deepEqual(answer.warnings, [
      `namespace ${namespace} is exempt, so the pod is not given its secrets`,
    ])
  }
})

test('neither declaration nor plan nor authorities of a pod can change', (t) => {
  for (const name of ['latchkey.dev/secrets', 'latchkey.dev/plan', 'latchkey.dev/ca']) {
    for (const value of ['other', undefined]) {
      const { outcome, answer } = decide({
        operation: 'UPDATE',
        oldObject: injected,
        object: change(injected, name, value),
      })
      t.is(outcome, 'refused')
      t.is(
        answer.message,
        `${name} of a pod cannot change; change the template that the pod comes from, and new pods have it`,
      )
    }
  }
  const late = { metadata: { name: 'web' }, spec: {} }
  const added = change(late, 'latchkey.dev/secrets', good)
  t.is(decide({ operation: 'UPDATE', oldObject: late, object: added }).outcome, 'refused')
})

test('other changes of a pod are nobody’s business', (t) => {
  const object = change(injected, 'team', 'shop')
  t.is(decide({ operation: 'UPDATE', oldObject: injected, object }).outcome, 'left')
  t.is(decide({ operation: 'DELETE', oldObject: injected }).outcome, 'left')
})

test('the image of the sidecar changes to the operator’s and to no other', (t) => {
  const withImage = (image: string): JsonObject => {
    const spec = objectOf(injected['spec'])
    const initContainers = objectsOf(spec['initContainers']).map((each) =>
      each['name'] === 'latchkey' ? { ...each, image } : each,
    )
    return { ...injected, spec: { ...spec, initContainers } }
  }
  const from = (image: string, to: string): string =>
    decide({ operation: 'UPDATE', oldObject: withImage(image), object: withImage(to) }).outcome
  t.is(from('latchkey:old', 'latchkey'), 'left')
  t.is(from('latchkey', 'evil'), 'refused')
  t.is(from('latchkey:old', 'latchkey:older'), 'refused')
  t.is(from('latchkey:old', 'latchkey:old'), 'left')
})

test('subresources are left alone', (t) => {
  t.is(decide({ subResource: 'status', object: podWith(wrong) }).outcome, 'left')
})

const workload = (
  resource: string,
  list: string | undefined,
  more: JsonObject = {},
): JsonObject => {
  const template = {
    metadata: { annotations: list === undefined ? {} : { 'latchkey.dev/secrets': list } },
    spec: { serviceAccountName: 'web', containers: [{ name: 'app' }] },
    ...more,
  }
  const metadata = { name: 'web' }
  if (resource === 'podtemplates') return { metadata, template }
  if (resource === 'cronjobs') return { metadata, spec: { jobTemplate: { spec: { template } } } }
  return { metadata, spec: { replicas: 1, template } }
}

for (const resource of [
  ...['deployments', 'statefulsets', 'daemonsets', 'replicasets', 'replicationcontrollers'],
  ...['jobs', 'cronjobs', 'podtemplates'],
]) {
  test(`${resource} are judged by their template`, (t) => {
    t.is(decide({ resource, object: workload(resource, good) }).outcome, 'accepted')
    t.is(decide({ resource, object: workload(resource, good) }).answer.patch, undefined)
    t.is(decide({ resource, object: workload(resource, undefined) }).outcome, 'left')
    const { outcome, answer } = decide({ resource, object: workload(resource, wrong) })
    t.is(outcome, 'refused')
    t.regex(answer.message ?? '', /^latchkey.dev\/secrets: line 2: entry 1, path: /)
    const misfit = workload(resource, '- { secret: db, path: /etc/db/, containers: [x] }')
    t.is(decide({ resource, object: misfit }).outcome, 'refused')
  })
}

test('a template that was wrong before does not keep a workload from being scaled', (t) => {
  const [resource, operation] = ['deployments', 'UPDATE']
  const oldObject = workload(resource, wrong)
  const scaled = { ...oldObject, spec: { ...objectOf(oldObject['spec']), replicas: 2 } }
  t.is(decide({ resource, operation, oldObject, object: scaled }).outcome, 'left')
  const object = workload(resource, `${wrong}# new\n`)
  t.is(decide({ resource, operation, oldObject, object }).outcome, 'refused')
  const mended = workload(resource, good)
  t.is(decide({ resource, operation, oldObject, object: mended }).outcome, 'accepted')
})

test('what is unwise in a template is said when it is applied', (t) => {
  const spec = { containers: [{ name: 'app' }] }
  const { answer } = decide({
    resource: 'deployments',
    object: workload('deployments', good, { spec }),
  })
  t.regex(answer.warnings.join(), /service account default/)
})
