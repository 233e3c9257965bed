import test from 'ava'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { injectPod } from '../../../src/webhook/inject/inject.ts'
import { contextOf, injectionVectors } from '../../support/injection.ts'
import {
  exampleGrants,
  exampleNamespaces,
  namespaceLabels,
  policiesWithExamples,
  policyExamples,
  type ExampleObject,
  type PolicyExample,
} from '../../support/policy-examples.ts'
import { binary } from '../support/binaries.ts'
import { useGround } from '../support/ground.ts'
import { runProgram } from '../support/run-program.ts'

const ground = useGround(test)
const gatekeeper = join(import.meta.dirname, '../../../deploy/policies/gatekeeper')

type Fields = Readonly<Record<string, unknown>>
interface Case {
  readonly name: string
  /** Path of the object. */
  readonly object: string
  readonly assertions: readonly object[]
}
interface Constraint extends Fields {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly enforcementAction: string }
}

let gator: string
let files = 0
let inventory: readonly string[]

test.before(async () => {
  gator = await binary('gator')
  const namespaces = [...Object.keys(exampleNamespaces), 'kube-system'].map((name) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: {
        'kubernetes.io/metadata.name': name,
        ...(name === 'kube-system' ? {} : namespaceLabels(name as keyof typeof exampleNamespaces)),
      },
    },
  }))
  inventory = await Promise.all([...namespaces, ...exampleGrants].map(write))
})

/** Writes an object for the engine to read; returns the path. */
async function write(object: unknown): Promise<string> {
  const path = join(ground.dir, `object-${(files += 1)}.yaml`)
  await writeFile(path, stringify(object, { aliasDuplicateObjects: false }))
  return path
}

/** What the API server asks a webhook about an example. */
function reviewOf({ object, before, user, group }: PolicyExample): object {
  const isDebug = object.spec['ephemeralContainers'] !== undefined
  const [version = '', apiGroup = ''] = object.apiVersion.split('/').reverse()
  const { ephemeralContainers: _, ...rest } = object.spec
  const oldObject = before ?? (isDebug ? { ...object, spec: rest } : undefined)
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u',
      kind: { group: apiGroup, version, kind: object.kind },
      resource: { group: apiGroup, version, resource: `${object.kind.toLowerCase()}s` },
      ...(isDebug ? { subResource: 'ephemeralcontainers' } : {}),
      name: object.metadata.name,
      namespace: object.metadata.namespace,
      operation: oldObject === undefined ? 'CREATE' : 'UPDATE',
      userInfo: {
        username: user ?? 'admin',
        groups: group === undefined ? (user === undefined ? ['system:masters'] : []) : [group],
      },
      object,
      ...(oldObject === undefined ? {} : { oldObject }),
    },
  }
}

/** The constraints of a policy, each in a file of its own, by what they do. */
async function constraintsOf(policy: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(gatekeeper, 'constraints', `${policy}.yaml`), 'utf8')
  const documents = parseAllDocuments(text).map((each) => each.toJS() as Constraint)
  const entries = documents.map(async (document): Promise<[string, string]> => [
    document.spec.enforcementAction,
    await write(document),
  ])
  return new Map(await Promise.all(entries))
}

const found = (message: string): readonly object[] => [
  { violations: 'yes', message: message.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&') },
]
const nothing = [{ violations: 'no' }]

async function caseOf(example: PolicyExample, assertions: readonly object[]): Promise<Case> {
  return { name: example.title, object: await write(reviewOf(example)), assertions }
}

async function verify(
  tests: readonly {
    readonly template: string
    readonly constraint: string
    readonly cases: readonly Case[]
  }[],
): Promise<{ readonly code: number | null; readonly out: string }> {
  const directory = join(ground.dir, `suite-${(files += 1)}`)
  await mkdir(directory)
  const suite = {
    apiVersion: 'test.gatekeeper.sh/v1alpha1',
    kind: 'Suite',
    // The engine takes paths that are relative to the suite's only.
    tests: tests.map(({ template, constraint, cases }, index) => ({
      name: `test-${index}`,
      template: relative(directory, template),
      constraint: relative(directory, constraint),
      cases: cases.map((each) => ({
        ...each,
        object: relative(directory, each.object),
        inventory: inventory.map((path) => relative(directory, path)),
      })),
    })),
  }
  await writeFile(join(directory, 'suite.yaml'), stringify(suite, { aliasDuplicateObjects: false }))
  const args = ['verify', '--verbose', join(directory, 'suite.yaml')]
  const { code, stdout, stderr } = await runProgram(ground, { command: gator, args })
  return { code, out: stdout + stderr }
}

const templateOf = (policy: string): string => join(gatekeeper, 'templates', `${policy}.yaml`)

for (const policy of policiesWithExamples) {
  test(`Gatekeeper says what the examples of ${policy} say`, async (t) => {
    const examples = await policyExamples(policy)
    const constraint = (await constraintsOf(policy)).get('deny') ?? ''
    const cases = await Promise.all(
      examples.map((it) => caseOf(it, it.allowed ? nothing : found(it.message))),
    )
    const { code, out } = await verify([{ template: templateOf(policy), constraint, cases }])
    t.is(code, 0, out)
  })
}

const byLabel = ['no-secret-env', 'files-by-latchkey', 'use-account']

test('where a namespace audits or warns, the same is found, and not denied', async (t) => {
  for (const policy of byLabel) {
    const constraints = await constraintsOf(policy)
    t.deepEqual([...constraints.keys()], ['dryrun', 'warn', 'deny'])
    const denied = (await policyExamples(policy)).find(({ allowed }) => !allowed)
    if (denied === undefined) throw new Error(policy)
    const inNamespace = (namespace: string): PolicyExample => ({
      ...denied,
      object: { ...denied.object, metadata: { ...denied.object.metadata, namespace } },
    })
    const modes = { audited: 'dryrun', warned: 'warn', enforced: 'deny', plain: 'none' }
    const tests = await Promise.all(
      [...constraints].map(async ([action, constraint]) => ({
        template: templateOf(policy),
        constraint,
        cases: await Promise.all(
          Object.entries(modes).map(([namespace, mode]) => {
            // Grants are in one namespace only, so in others nobody has any.
            const isFound = mode === action
            return caseOf(inNamespace(namespace), isFound ? found('') : nothing)
          }),
        ),
      })),
    )
    const { code, out } = await verify(tests)
    t.is(code, 0, out)
  }
})

test('every pod that the webhook injects passes every policy', async (t) => {
  const vectors = await injectionVectors()
  for (const policy of policiesWithExamples) {
    if (policy === 'use-account') continue
    const constraint = (await constraintsOf(policy)).get('deny') ?? ''
    const cases = await Promise.all(
      vectors.map(async (vector) => {
        const result = injectPod(vector.pod, contextOf(vector))
        if (result.kind !== 'injected') throw new Error(vector.name)
        const metadata = {
          ...(result.pod['metadata'] as Fields),
          name: 'web',
          namespace: 'enforced',
        }
        const object = { apiVersion: 'v1', kind: 'Pod', ...result.pod, metadata } as ExampleObject
        const example: PolicyExample = {
          ...{ policy, title: vector.name, allowed: true, message: '', object },
          ...{ before: undefined, user: undefined, group: undefined },
        }
        return await caseOf(example, nothing)
      }),
    )
    const { code, out } = await verify([{ template: templateOf(policy), constraint, cases }])
    t.is(code, 0, out)
  }
})

test('the engine would say when a policy does not say what an example says', async (t) => {
  const constraint = (await constraintsOf('no-secret-env')).get('deny') ?? ''
  const examples = await policyExamples('no-secret-env')
  const wrong = await Promise.all(
    examples.map((it) => caseOf(it, it.allowed ? found('') : nothing)),
  )
  const template = templateOf('no-secret-env')
  for (const each of wrong) {
    t.not((await verify([{ template, constraint, cases: [each] }])).code, 0, each.name)
  }
})
