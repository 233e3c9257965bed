import test from 'ava'
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { lintText } from '../../src/admin/lint/check.ts'
import { lint } from '../../src/admin/lint/lint.ts'
import { recordedContext } from '../support/admin-context.ts'

const found = (manifest: string): readonly string[] =>
  lintText(manifest).findings.map(
    ({ line, subject, problem, fix }) => `${line}: ${subject}: ${problem}; ${fix}`,
  )

const template = (list: string, indent: string): string =>
  [
    'metadata:',
    '  annotations:',
    '    latchkey.dev/secrets: |',
    ...list.split('\n').map((line) => `      ${line}`),
    'spec:',
    '  serviceAccountName: web',
    '  containers: [{ name: app }]',
  ]
    .map((line) => `${indent}${line}`)
    .join('\n')

const good = '- { secret: db, key: password, path: /etc/app/db/password }'
const wrong = '# first\n- secret: db\n  path: /etc/app/db/\n  mod: "0440"'

const workloads: Record<string, (list: string) => string> = {
  Pod: (list) => `apiVersion: v1\nkind: Pod\n${template(list, '')}\n`,
  ...Object.fromEntries(
    [
      ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'],
      ...['ReplicationController', 'Rollout'],
    ].map((kind) => [
      kind,
      (list: string) =>
        `apiVersion: apps/v1\nkind: ${kind}\nspec:\n  template:\n${template(list, '    ')}\n`,
    ]),
  ),
  CronJob: (list) =>
    `apiVersion: batch/v1\nkind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n${template(list, '        ')}\n`,
  PodTemplate: (list) => `apiVersion: v1\nkind: PodTemplate\ntemplate:\n${template(list, '  ')}\n`,
  List: (list) =>
    `apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Pod\n${template(list, '    ')}\n`,
}

for (const [kind, manifest] of Object.entries(workloads)) {
  test(`the list of a ${kind} is found and checked, at its line in the file`, (t) => {
    t.deepEqual(found(manifest(good)), [])
    t.is(lintText(manifest(good)).lists, 1)
    const bad = manifest(wrong)
    const line = bad.split('\n').findIndex((each) => each.includes('mod:')) + 1
    t.deepEqual(found(bad), [
      `${line}: entry 1, mod: is not a field; remove it; the fields are secret, key, path, format, template, mount, update, containers, mode, group, onChange, onDenied, grace`,
    ])
  })
}

test('a pod of kind Pod in a List needs no containers to be one', (t) => {
  const manifest =
    'kind: List\nitems:\n- kind: Pod\n  metadata: { annotations: { latchkey.dev/secrets: "" } }\n'
  t.deepEqual(found(manifest), [
    '4: latchkey.dev/secrets: expected a list of entries, got nothing; write at least one entry that starts with "- secret: NAME"',
  ])
})

test('every document of a file is checked, and JSON is YAML', (t) => {
  const pod = {
    kind: 'Pod',
    metadata: { annotations: { 'latchkey.dev/secrets': wrong } },
    spec: { containers: [{ name: 'app' }] },
  }
  const manifest = `${workloads['Pod']?.(wrong) ?? ''}---\n\n---\n${JSON.stringify(pod)}\n`
  const line = manifest.split('\n').findIndex((each) => each.startsWith('{')) + 1
  t.deepEqual(
    found(manifest).map((each) => each.split(': ', 2).join(': ')),
    ['9: entry 1, mod', `${line}: entry 1, mod`],
  )
})

test('a patch, which has no containers, is checked as far as it goes', (t) => {
  const patch = (list: string): string =>
    `kind: Deployment\nspec:\n  template:\n    metadata:\n      annotations:\n        latchkey.dev/secrets: |\n          ${list}\n`
  t.deepEqual(found(patch('- { secret: db, path: /etc/db/, containers: [elsewhere] }')), [])
  t.is(found(patch('- { secret: db }')).length, 1)
})

test('what only shows beside the containers is told at the line of its entry', (t) => {
  const manifest = workloads['Pod']?.('- secret: db\n  path: /etc/db/\n  containers: [web]') ?? ''
  t.deepEqual(found(manifest), [
    '8: entry 1, containers: names web, which the pod does not have; name some of app',
  ])
})

test('the sidecar’s name is taken', (t) => {
  const manifest = (workloads['Pod']?.(good) ?? '').replace('name: app', 'name: latchkey')
  t.deepEqual(found(manifest), [
    '6: latchkey.dev/secrets: one of spec.containers is called latchkey, as the sidecar is; give it another name',
  ])
})

test('an annotation where nothing reads it is found, with the place where it belongs', (t) => {
  const on = (kind: string): string =>
    `kind: ${kind}\nmetadata:\n  name: web\n  annotations:\n    latchkey.dev/secrets: x\n`
  const fixes = {
    Deployment: 'move it to spec.template.metadata.annotations',
    CronJob: 'move it to spec.jobTemplate.spec.template.metadata.annotations',
    PodTemplate: 'move it to template.metadata.annotations',
    Service: 'write it on a pod, or on the pod template of a workload',
  }
  for (const [kind, fix] of Object.entries(fixes)) {
    t.deepEqual(found(on(kind)), [
      `5: latchkey.dev/secrets: is on ${kind} web itself, where nothing reads it; ${fix}`,
    ])
  }
})

test('annotations that nobody knows, and the webhook’s own, are found', (t) => {
  const manifest = (workloads['Pod']?.(good) ?? '').replace(
    '  annotations:\n',
    '  annotations:\n    latchkey.dev/secret: x\n    latchkey.dev/plan: x\n    latchkey.dev/ca: x\n    other/secrets: x\n',
  )
  t.deepEqual(found(manifest), [
    '5: latchkey.dev/secret: is no annotation of Latchkey; write latchkey.dev/secrets',
    '6: latchkey.dev/plan: is written by the webhook when the pod is admitted; remove it',
    '7: latchkey.dev/ca: is written by the webhook when the pod is admitted; remove it',
  ])
})

test('a list that is no text is found', (t) => {
  const manifest =
    'kind: Pod\nmetadata:\n  annotations:\n    latchkey.dev/secrets:\n      - secret: db\n'
  t.deepEqual(found(manifest), [
    '4: latchkey.dev/secrets: expected text, and annotations hold nothing else; write "latchkey.dev/secrets: |" and the list below it, indented',
  ])
})

test('lines are exact in literal blocks, and that of the text in others', (t) => {
  const list = '- secret: db\n  path: /etc/db/\n  mod: x'
  const pod = (scalar: string): string =>
    `kind: Pod\nmetadata:\n  annotations:\n    latchkey.dev/secrets: ${scalar}\nspec: { containers: [{ name: a }] }\n`
  const literal = (header: string): string => `${header}\n${list.replaceAll(/^/gm, '      ')}`
  const lineOf = (manifest: string): string | undefined => found(manifest)[0]?.split(':')[0]
  t.is(lineOf(pod(literal('|'))), '7')
  t.is(lineOf(pod(literal('|-'))), '7')
  t.is(lineOf(pod(literal('| # secrets'))), '7')
  t.is(lineOf(pod(literal('|\n\n')).replace('|\n\n\n', '|\n\n')), '8')
  t.is(lineOf(pod(JSON.stringify(list))), '4')
  t.is(lineOf(pod(`&x ${literal('|')}`)), '7')
})

test('text that is no YAML, or no object, is a finding', (t) => {
  t.deepEqual(found('kind: Pod\nspec: [\n'), [
    '3: the file: is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]; correct the syntax there',
  ])
  t.deepEqual(found('---\n- a\n'), [
    '2: the file: is not a Kubernetes object; start it with apiVersion and kind',
  ])
  t.deepEqual(found('\n---\n# nothing\n---\n'), [])
  t.is(found('{{- if .Values.pod }}\nkind: Pod\n').length, 1)
})

test('hostile text ends in findings or none, soon', (t) => {
  const laughs = ['a: &a0 [x, x]']
  for (let i = 1; i < 40; i += 1) laughs.push(`b${i}: &a${i} [*a${i - 1}, *a${i - 1}]`)
  const maps = ['a: &m0 { x: x }']
  for (let i = 1; i < 40; i += 1) maps.push(`b${i}: &m${i} { x: *m${i - 1}, y: *m${i - 1} }`)
  const started = performance.now()
  for (const manifest of [
    laughs.join('\n'),
    maps.join('\n'),
    'a: &a { b: *a, c: *a, d: *a }\n',
    `spec: ${'{spec: '.repeat(2000)}x${'}'.repeat(2000)}`,
    `kind: Pod\nmetadata: &m\n  annotations: *m\n`,
    `kind: Pod\nmetadata: { annotations: { latchkey.dev/secrets: &s "x" } }\nspec: &p { containers: [*p] }\n`,
  ]) {
    t.notThrows(() => lintText(manifest))
  }
  t.true(performance.now() - started < 30_000)
})

test('a template that two workloads share by an alias is checked in both', (t) => {
  const manifest = [
    'items:',
    '  - kind: Deployment',
    '    spec:',
    '      template: &template',
    template('- { secret: db, path: x }', '        '),
    '  - kind: Job',
    '    spec: { template: *template }',
    '',
  ].join('\n')
  t.is(lintText(manifest).lists, 2)
})

test('what is unwise is told beside the findings and is none', async (t) => {
  const context = await recordedContext(t)
  const manifest = (workloads['Pod']?.(good) ?? '').replace('  serviceAccountName: web\n', '')
  const flags = { files: ['a.yaml'], output: 'table' as const }
  t.true(await lint({ ...context, readText: async () => manifest }, flags))
  t.deepEqual(context.data, [])
  t.deepEqual(context.said, [
    'a.yaml:5: warning: the pod runs as service account default, so every pod of the namespace that names none shares its secrets; give it an account of its own',
    '1 list(s) of secrets in 1 file(s), 0 finding(s)',
  ])
})

test('findings are lines of text, or JSON for tools', async (t) => {
  const context = await recordedContext(t)
  const readText = async (): Promise<string> => workloads['Pod']?.('- {}') ?? ''
  t.false(await lint({ ...context, readText }, { files: ['x', 'y'], output: 'table' }))
  t.deepEqual(context.data, [
    'x:6: entry 1, secret: is missing; add secret: NAME',
    'x:6: entry 1, path: is missing; add path: /etc/app/NAME',
    'y:6: entry 1, secret: is missing; add secret: NAME',
    'y:6: entry 1, path: is missing; add path: /etc/app/NAME',
  ])
  context.data.length = 0
  await lint({ ...context, readText }, { files: ['x'], output: 'json' })
  const { findings } = JSON.parse(context.data.join('')) as { findings: unknown[] }
  t.like(findings[0], { file: 'x', line: 6, subject: 'entry 1, secret', problem: 'is missing' })
})

test('no file is wrong use', async (t) => {
  const context = await recordedContext(t)
  const readText = async (): Promise<string> => ''
  await t.throwsAsync(lint({ ...context, readText }, { files: [], output: 'table' }), {
    code: 'ERR_USAGE',
  })
})

test('the program exits with 0 when clean, 1 with findings and 2 when it could not look', async (t) => {
  const context = await recordedContext(t)
  const run = async (args: readonly string[], input = ''): Promise<unknown> => {
    const program = join(import.meta.dirname, '../../cmd/latchkey.ts')
    const child = spawn(process.execPath, [program, 'lint', ...args], { cwd: context.path('.') })
    child.stdin.end(input)
    const [out, error, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise((resolve) => child.once('exit', resolve)),
    ])
    return { code, out, error: error.split('\n')[0] }
  }
  await writeFile(context.path('good.yaml'), workloads['Job']?.(good) ?? '')
  await writeFile(context.path('bad.yaml'), workloads['Job']?.('- secret: db') ?? '')
  t.deepEqual(await run(['good.yaml', '-'], workloads['Pod']?.(good)), {
    code: 0,
    out: '',
    error: '2 list(s) of secrets in 2 file(s), 0 finding(s)',
  })
  t.deepEqual(await run(['good.yaml', 'bad.yaml']), {
    code: 1,
    out: 'bad.yaml:8: entry 1, path: is missing; add path: /etc/app/NAME\n',
    error: '2 list(s) of secrets in 2 file(s), 1 finding(s)',
  })
  t.like(await run(['missing.yaml']), {
    code: 2,
    out: '',
    error: 'error: missing.yaml: ENOENT (ERR_CONFIG_INVALID)',
  })
  t.like(await run([]), { code: 2, out: '' })
})
