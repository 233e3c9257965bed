import test from 'ava'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { readCanonicalPlan } from '../../src/injection/canonical.ts'
import { parsePlan, readPlan } from '../../src/injection/parse.ts'
import { effectiveMode } from '../../src/injection/plan.ts'
import { planDigest, printPlan } from '../../src/injection/print.ts'
import { targetsOf } from '../../src/injection/targets.ts'

const example = `
- secret: db              # in this namespace
  key: password
  path: /etc/app/db/password
- secret: tls             # every key, one file each, swapped as a set
  path: /etc/app/tls/
  containers: [proxy]
  onChange: { http: http://127.0.0.1:8080/-/reload }
- secret: db
  path: /etc/app/config/database.ini
  mode: "0440"
  template: |
    user={{ username }}
    password={{ password }}
`

const all = {
  mount: { kind: 'directory' },
  containers: undefined,
  mode: undefined,
  group: undefined,
  onChange: undefined,
  onDenied: { kind: 'remove', graceMs: 0 },
}

test('the documented example is a plan, complete with its defaults', (t) => {
  t.deepEqual(parsePlan(example).entries as unknown, [
    {
      ...all,
      secret: 'db',
      content: { kind: 'key', key: 'password' },
      path: '/etc/app/db/password',
    },
    {
      ...all,
      secret: 'tls',
      content: { kind: 'files' },
      path: '/etc/app/tls',
      containers: ['proxy'],
      onChange: { kind: 'http', url: 'http://127.0.0.1:8080/-/reload', method: 'POST' },
    },
    {
      ...all,
      secret: 'db',
      content: {
        kind: 'template',
        template: 'user={{ username }}\npassword={{ password }}\n',
      },
      path: '/etc/app/config/database.ini',
      mode: 0o440,
    },
  ])
})

test('every field is understood', (t) => {
  const plan = parsePlan(`
- { secret: vault:db, key: ca.crt, format: raw, path: /srv/ca/ca.crt, group: 2000, onDenied: keep }
- { secret: db, format: dotenv, path: /srv/env/.env, mode: "0600", grace: 90s }
- { secret: db, format: json, path: /etc/nginx/a.json, mount: file, update: in-place }
- { secret: db, format: yaml, path: /etc/nginx/a.yaml, mount: file, update: restart }
- { secret: db, format: files, path: /srv/all/, mount: directory,
    onChange: { touch: /srv/all/.changed } }
- { secret: db, format: properties, path: /srv/p/a, onChange: { signal: SIGHUP, process: nginx } }
- { secret: db, format: properties, path: /srv/p/b, onChange: { http: "http://[::1]:1/", method: GET } }
`)
  t.is(plan.entries.length, 7)
  t.deepEqual(plan.entries[0]?.onDenied, { kind: 'keep' })
  t.deepEqual(plan.entries[1]?.onDenied, { kind: 'remove', graceMs: 90_000 })
  t.deepEqual(plan.entries[2]?.mount, { kind: 'file', update: 'in-place' })
  t.deepEqual(plan.entries[3]?.mount, { kind: 'file', update: 'restart' })
  t.deepEqual(plan.entries[4]?.onChange, { kind: 'touch', path: '/srv/all/.changed' })
  t.deepEqual(plan.entries[5]?.onChange, { kind: 'signal', signal: 'SIGHUP', process: 'nginx' })
  t.deepEqual(plan.entries[6]?.onChange, { kind: 'http', url: 'http://[::1]:1/', method: 'GET' })
  t.deepEqual(
    plan.entries.map((entry) => effectiveMode(entry)),
    [0o440, 0o600, 0o400, 0o400, 0o400, 0o400, 0o400],
  )
})

test('entries are grouped by directory in declared order; bound files stand apart', (t) => {
  const { directories, boundFiles } = targetsOf(
    parsePlan(`
- { secret: a, key: k, path: /x/b/1 }
- { secret: a, path: /x/a/ }
- { secret: b, key: k, path: /x/b/2 }
- { secret: b, key: k, path: /etc/passwd.d, mount: file, update: restart }
`),
  )
  t.deepEqual(
    directories.map(({ path, entries }) => [path, entries.map((entry) => entry.path)]),
    [
      ['/x/b', ['/x/b/1', '/x/b/2']],
      ['/x/a', ['/x/a']],
    ],
  )
  t.deepEqual(
    boundFiles.map(({ path }) => path),
    ['/etc/passwd.d'],
  )
})

test('sibling directories whose names begin alike do not overlap', (t) => {
  t.notThrows(() =>
    parsePlan('- { secret: a, path: /etc/app/db/ }\n- { secret: b, path: /etc/app/db2/ }\n'),
  )
})

test('the places of entries and fields are kept for later checks', (t) => {
  const reading = readPlan(example)
  if (reading.kind !== 'plan') return t.fail()
  t.is(reading.places[1]?.entry.line, 5)
  t.deepEqual(reading.places[1]?.fields.get('containers'), { line: 7, column: 15 })
})

test('parsePlan throws one error with a line for each problem, at most 20', (t) => {
  const wrong = Array.from({ length: 30 }, () => '- secret: A\n  path: /a/b/\n').join('')
  const error = t.throws(() => parsePlan(wrong))
  t.true(isLatchkeyError(error, 'ERR_PLAN_INVALID'))
  t.is(error.message.split('\n').length, 21)
  t.regex(error.message, /^line 1: entry 1, secret: /)
  t.regex(error.message, /and 10 more$/)
})

test('the printed plan is stable, whatever the order and style of the text', (t) => {
  const one = parsePlan('- {secret: a, path: /x/a/, containers: [b, a], grace: 120s}')
  const two = parsePlan(
    '# comment\n- grace: 2m\n  path: "/x/a/"\n  containers:\n  - a\n  - b\n  secret: a\n',
  )
  t.is(printPlan(one), printPlan(two))
  t.is(planDigest(one), planDigest(two))
  t.is(
    printPlan(one),
    '[{"secret":"a","format":"files","path":"/x/a/","mount":"directory","containers":["a","b"],"onDenied":"remove","grace":"2m"}]\n',
  )
  t.regex(planDigest(one), /^sha256:[0-9a-f]{64}$/)
})

test('only the one spelling is canonical', (t) => {
  const printed = printPlan(parsePlan(example))
  t.deepEqual(readCanonicalPlan(printed), parsePlan(example))
  t.deepEqual(readCanonicalPlan(printed.trimEnd()), parsePlan(example))
  t.is(readCanonicalPlan(example), undefined)
  t.is(readCanonicalPlan(printed.replace('"key"', '"key":"other","key"')), undefined)
  t.is(readCanonicalPlan(printed.replace('"onDenied"', '"extra":1,"onDenied"')), undefined)
  t.is(readCanonicalPlan('['), undefined)
})
