import test from 'ava'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { doctor, type DoctorFlags } from '../../src/admin/doctor/doctor.ts'
import type { Finding } from '../../src/admin/doctor/finding.ts'
import { keysInit } from '../../src/admin/keys/init.ts'
import { keysStage } from '../../src/admin/keys/change.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const nothing: DoctorFlags = {
  keyring: undefined,
  root: [],
  listen: undefined,
  encryptionConfig: undefined,
  apiServerManifest: undefined,
  output: 'json',
}
const versions = { node: '24.12.0', latchkey: '0.1.0' }
const flags = { keyring: 'keyring', root: ['file:root'] }

async function findings(
  context: RecordedContext,
  named: Partial<DoctorFlags>,
): Promise<readonly Finding[]> {
  const healthy = await doctor(context, { flags: { ...nothing, ...named }, versions })
  const parsed = JSON.parse(context.data.pop() ?? '') as { findings: readonly Finding[] }
  const problems = parsed.findings.filter(({ level }) => level === 'problem')
  if (healthy !== (problems.length === 0))
    throw new Error('the verdict is not that of the findings')
  for (const problem of parsed.findings.filter(({ level }) => level !== 'ok')) {
    if (problem.remedy === undefined) throw new Error(`no remedy for: ${problem.message}`)
  }
  return parsed.findings
}

const levels = (found: readonly Finding[], subject: string): readonly string[] =>
  found.filter((finding) => finding.subject === subject).map(({ level }) => level)

test('a fresh keyring with its root has no problem', async (t) => {
  const context = await recordedContext(t)
  await keysInit(context, { ...flags, clusterId: 'prod' })
  const found = await findings(context, flags)
  t.deepEqual(levels(found, 'keyring'), ['ok'])
  t.deepEqual(levels(found, 'root'), ['ok'])
  t.deepEqual(levels(found, 'versions'), ['ok'])
})

test('nothing named is a wrong use; an old Node.js is a problem', async (t) => {
  const context = await recordedContext(t)
  const run = doctor(context, { flags: nothing, versions })
  await t.throwsAsync(run, { code: 'ERR_USAGE' })
  await keysInit(context, { ...flags, clusterId: 'prod' })
  const old = { ...versions, node: '22.1.0' }
  t.false(await doctor(context, { flags: { ...nothing, ...flags }, versions: old }))
})

test('a missing keyring, a gone root and a wrong root are problems', async (t) => {
  const context = await recordedContext(t)
  t.deepEqual(levels(await findings(context, { keyring: 'keyring' }), 'keyring'), ['problem'])
  await keysInit(context, { ...flags, clusterId: 'prod' })
  const gone = await findings(context, { keyring: 'keyring', root: ['file:nowhere'] })
  t.deepEqual(levels(gone, 'root'), ['problem'])
  await writeFile(context.path('other'), Buffer.alloc(32, 1), { mode: 0o400 })
  const wrong = await findings(context, { keyring: 'keyring', root: ['file:other'] })
  t.deepEqual(levels(wrong, 'keyring'), ['problem'])
})

test('a root in the keyring directory, a staged key and an old active key are warnings', async (t) => {
  let now = Date.parse('2026-01-01T00:00:00Z')
  const context = await recordedContext(t, { nowMs: () => now })
  const beside = { keyring: 'keyring', root: ['file:keyring/root'] }
  await keysInit(context, { ...beside, clusterId: 'prod' })
  await keysStage(context, beside)
  context.data.pop()
  now += 100 * 86_400_000
  const found = await findings(context, beside)
  t.deepEqual(levels(found, 'root'), ['ok', 'warning'])
  t.deepEqual(levels(found, 'keyring'), ['ok', 'warning', 'warning'])
})

test('a socket in a shared directory is to move; the directory stays as it is', async (t) => {
  const context = await recordedContext(t)
  const shared = context.path('shared')
  await mkdir(shared)
  for (const [mode, remedy] of [
    [0o1777, /directory of its own/],
    [0o777, /^chmod go-w /],
  ] as const) {
    await chmod(shared, mode)
    const found = await findings(context, { listen: `unix://${shared}/kms.sock` })
    const about = found.find(({ message }) => message.startsWith('others may replace files'))
    t.regex(about?.remedy ?? '', remedy)
  }
})

test('a socket that is not there, or is a file, is a problem', async (t) => {
  const context = await recordedContext(t)
  const at = (name: string): string => `unix://${context.path(name)}`
  t.deepEqual(levels(await findings(context, { listen: at('kms.sock') }), 'socket'), ['problem'])
  await writeFile(context.path('file'), '')
  t.deepEqual(levels(await findings(context, { listen: at('file') }), 'socket'), ['problem'])
  t.deepEqual(levels(await findings(context, { listen: at('no/dir') }), 'socket'), ['problem'])
})

const config = (providers: string, resources = '[secrets]'): string => `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: ${resources}
    providers:
${providers}
`
const kms = (lines: string): string => `      - kms:\n${lines.replace(/^/gm, '          ')}\n`
const good = kms('apiVersion: v2\nname: latchkey\nendpoint: unix:///run/latchkey/kms.sock')

const configurations: Record<string, { text: string; levels: readonly string[] }> = {
  'as it should be': { text: config(good), levels: ['ok'] },
  'identity behind kms': { text: config(`${good}      - identity: {}`), levels: ['warning'] },
  'identity before kms': { text: config(`      - identity: {}\n${good}`), levels: ['warning'] },
  'no kms': { text: config('      - identity: {}'), levels: ['problem'] },
  'apiVersion left out': {
    text: config(kms('name: latchkey\nendpoint: unix:///run/latchkey/kms.sock')),
    levels: ['problem'],
  },
  'cachesize with v2': {
    text: config(`${good}          cachesize: 5`),
    levels: ['problem'],
  },
  'a colon in the name': {
    text: config(kms('apiVersion: v2\nname: "a:b"\nendpoint: unix:///run/latchkey/kms.sock')),
    levels: ['problem'],
  },
  'an abstract socket': {
    text: config(kms('apiVersion: v2\nname: a\nendpoint: unix:///@kms')),
    levels: ['problem'],
  },
  'another socket': {
    text: config(kms('apiVersion: v2\nname: a\nendpoint: unix:///elsewhere')),
    levels: ['problem'],
  },
  'one name twice': { text: config(`${good}${good}`), levels: ['problem'] },
  'Secrets left out': { text: config(good, '[configmaps]'), levels: ['problem'] },
  'everything by wildcard': { text: config(good, "['*.*']"), levels: ['ok'] },
  'not YAML': { text: 'a: [', levels: ['problem'] },
  'another kind': { text: 'kind: Pod', levels: ['problem'] },
}

for (const [title, { text, levels: expected }] of Object.entries(configurations)) {
  test(`EncryptionConfiguration: ${title}`, async (t) => {
    const context = await recordedContext(t)
    await writeFile(context.path('config'), text)
    const found = await findings(context, {
      encryptionConfig: 'config',
      listen: 'unix:///run/latchkey/kms.sock',
    })
    t.deepEqual(levels(found, 'encryption-config'), expected)
  })
}

const manifest = (options: { image?: string; flags?: string[]; mount?: string }): string =>
  JSON.stringify({
    spec: {
      containers: [
        {
          name: 'kube-apiserver',
          image: options.image ?? 'registry.k8s.io/kube-apiserver:v1.36.3',
          command: [
            'kube-apiserver',
            ...(options.flags ?? [
              '--encryption-provider-config=/etc/kubernetes/encryption.yaml',
              '--encryption-provider-config-automatic-reload=true',
            ]),
          ],
          volumeMounts: [{ name: 'v', mountPath: '/run/latchkey' }],
        },
      ],
      volumes: [{ name: 'v', hostPath: { path: options.mount ?? '/run/latchkey' } }],
    },
  })

const manifests: Record<string, { text: string; levels: readonly string[] }> = {
  'as it should be': { text: manifest({}), levels: ['ok'] },
  'an API server too old': {
    text: manifest({ image: 'kube-apiserver:v1.28.9' }),
    levels: ['problem'],
  },
  'no encryption': { text: manifest({ flags: [] }), levels: ['problem'] },
  'no reload': {
    text: manifest({ flags: ['--encryption-provider-config=/etc/kubernetes/encryption.yaml'] }),
    levels: ['warning'],
  },
  'the socket mounted': {
    text: manifest({ mount: '/run/latchkey/kms.sock' }),
    levels: ['problem'],
  },
  'another directory mounted': { text: manifest({ mount: '/run/latch' }), levels: ['problem'] },
  'a directory above mounted': { text: manifest({ mount: '/run' }), levels: ['ok'] },
  'another pod': { text: '{"spec":{"containers":[]}}', levels: ['problem'] },
}

for (const [title, { text, levels: expected }] of Object.entries(manifests)) {
  test(`API server manifest: ${title}`, async (t) => {
    const context = await recordedContext(t)
    await writeFile(context.path('manifest'), text)
    const found = await findings(context, {
      apiServerManifest: 'manifest',
      listen: 'unix:///run/latchkey/kms.sock',
    })
    t.deepEqual(levels(found, 'kube-apiserver'), expected)
  })
}

test('a key that is active for longer than its policy is warned of', async (t) => {
  let nowMs = Date.now()
  const context = await recordedContext(t, { nowMs: () => nowMs })
  await keysInit(context, { ...flags, clusterId: 'prod' })
  nowMs += 31 * 86_400_000
  t.deepEqual(levels(await findings(context, flags), 'keyring'), ['ok'])
  const found = await findings(context, { ...flags, maxKeyAgeDays: 30 })
  t.deepEqual(levels(found, 'keyring'), ['ok', 'warning'])
  t.true(found.some(({ message }) => message.includes('31 days')))
})
