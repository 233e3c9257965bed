import test from 'ava'
import fc from 'fast-check'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { admit } from '../../src/webhook/admit.ts'
import { printReview, readReview } from '../../src/webhook/review.ts'
import { admissionDeps, podWith, reviewBody } from '../support/admission.ts'

test('a request is read', (t) => {
  const object = podWith('x')
  t.deepEqual(readReview(reviewBody({ object, dryRun: true })), {
    uid: 'b3f0c1de-0000-4000-8000-000000000001',
    operation: 'CREATE',
    namespace: 'shop',
    resource: 'pods',
    subresource: '',
    name: 'web-',
    dryRun: true,
    username: 'jane',
    object,
    oldObject: {},
  })
})

test('what is no request is refused, saying what it lacks', (t) => {
  const refused = (body: string): string | undefined =>
    t.throws(() => readReview(body), { code: 'ERR_MESSAGE_INVALID' }).message
  t.is(refused(''), 'the body is not JSON')
  t.is(refused('{'), 'the body is not JSON')
  t.is(refused('[]'), 'the body is no AdmissionReview of admission.k8s.io/v1')
  t.is(
    refused('{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}'),
    'the body is no AdmissionReview of admission.k8s.io/v1',
  )
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }
  t.is(refused(JSON.stringify(review)), 'the body has no request')
  t.is(
    refused(JSON.stringify({ ...review, request: { uid: 'u' } })),
    'the body has no uid, operation or resource',
  )
})

test('an answer is as the API server wants it', (t) => {
  const patch = [{ op: 'remove', path: '/spec/x' }] as const
  t.deepEqual(
    JSON.parse(
      printReview('u', { allowed: true, warnings: ['w'], patch, annotations: { decision: 'x' } }),
    ),
    {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: {
        uid: 'u',
        allowed: true,
        warnings: ['latchkey: w'],
        patchType: 'JSONPatch',
        patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
        auditAnnotations: { decision: 'x' },
      },
    },
  )
  t.deepEqual(
    JSON.parse(
      printReview('u', { allowed: false, message: 'no', warnings: [], patch: [], annotations: {} }),
    ),
    {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: {
        uid: 'u',
        allowed: false,
        status: { code: 422, reason: 'Invalid', message: 'no' },
        auditAnnotations: {},
      },
    },
  )
})

test('no warning is longer than the API server passes on', (t) => {
  const text = printReview('u', { allowed: true, warnings: ['w'.repeat(500)], annotations: {} })
  const { response } = JSON.parse(text) as { response: { warnings: string[] } }
  t.is(response.warnings[0]?.length, 256)
})

test('no request that can be read makes a decision fail', (t) => {
  const scrap = fc.oneof(fc.jsonValue(), fc.constantFrom('latchkey', 'pods', '', null, [], {}))
  const object = fc.record(
    {
      metadata: fc.oneof(
        scrap,
        fc.record({
          annotations: fc.dictionary(
            fc.constantFrom('latchkey.dev/secrets', 'latchkey.dev/plan', 'x'),
            fc.oneof(scrap, fc.constant('- { secret: db, path: /etc/db/ }')),
          ),
        }),
      ),
      spec: fc.oneof(
        scrap,
        fc.record({ containers: scrap, initContainers: scrap, volumes: scrap, template: scrap }),
        fc.record({ containers: fc.array(fc.record({ name: scrap, volumeMounts: scrap })) }),
      ),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(
      object,
      object,
      fc.constantFrom('CREATE', 'UPDATE', 'DELETE', 'CONNECT'),
      fc.constantFrom('pods', 'deployments', 'cronjobs', 'secrets'),
      (now, before, operation, resource) => {
        const body = JSON.stringify({
          apiVersion: 'admission.k8s.io/v1',
          kind: 'AdmissionReview',
          request: { uid: 'u', operation, resource: { resource }, object: now, oldObject: before },
        })
        const { answer } = admit(readReview(body), admissionDeps)
        t.notThrows(() => JSON.parse(printReview('u', answer)) as unknown)
      },
    ),
    { numRuns: 2000 },
  )
})

test('no body makes the reader fail otherwise than by its code', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (body) => {
      try {
        readReview(body)
      } catch (error) {
        t.true(isLatchkeyError(error, 'ERR_MESSAGE_INVALID'))
      }
    }),
  )
  t.pass()
})
