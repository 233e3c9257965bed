import test from 'ava'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { readCanonicalPlan } from '../../src/injection/canonical.ts'
import { isWithin } from '../../src/injection/paths.ts'
import { parsePlan, readPlan } from '../../src/injection/parse.ts'
import { httpMethods, signalNames } from '../../src/injection/plan.ts'
import { planDigest, printPlan } from '../../src/injection/print.ts'

const name = fc.stringMatching(/^[a-z]([-a-z0-9]{0,8}[a-z0-9])?$/)
const key = fc.stringMatching(/^[a-z0-9_-][-._a-zA-Z0-9]{0,12}$/)
const secret = fc.oneof(
  name,
  fc.tuple(name, name).map(([source, each]) => `${source}:${each}`),
)
const mode = fc.constantFrom('0400', '0440', '0500', '0540', '0550', '0600', '0640', '0700', '0750')
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((each) => !each.includes('{{'))
// A brace right before a placeholder belongs to it, and makes it one that is refused.
const beforePlaceholder = text.filter((each) => !each.endsWith('{'))
const optional = <T>(arb: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arb, { nil: undefined })

const content = fc.oneof(
  fc.record({ key }).map((each) => ({ ...each, file: true })),
  fc.record({ format: fc.constantFrom('json', 'yaml', 'dotenv', 'properties') }).map((each) => ({
    ...each,
    file: true,
  })),
  fc
    .tuple(beforePlaceholder, key, fc.constantFrom('', '| json', '| trim | uri'), text)
    .map(([before, k, filter, after]) => ({
      template: `${before}{{ ${k} ${filter} }}${after}`,
      file: true,
    })),
  fc.constant({ file: false }),
)

const mount = fc.oneof(
  fc.constant({}),
  fc.constant({ mount: 'directory' }),
  fc.record({ mount: fc.constant('file'), update: fc.constantFrom('in-place', 'restart') }),
)

const decision = fc.oneof(
  fc.constant({}),
  fc.constant({ onDenied: 'keep' }),
  fc.record({ grace: fc.integer({ min: 0, max: 86_400_000 }).map((ms) => `${ms}ms`) }),
)

const hook = fc.oneof(
  fc.record({ http: fc.webPath().map((path) => `http://127.0.0.1:80${path}`) }),
  fc.record({
    http: fc.webQueryParameters().map((query) => `http://[::1]:8080/?${query}`),
    method: fc.constantFrom(...httpMethods),
  }),
  fc.record({ signal: fc.constantFrom(...signalNames), process: fc.constant('nginx') }),
)

/** Entries as a person may write them, each in a directory of its own. */
const written = fc.array(
  fc.record({
    secret,
    content,
    mount,
    decision,
    mode: optional(mode),
    onChange: optional(hook),
  }),
  { minLength: 1, maxLength: 12 },
)

const asList = (entries: typeof written extends fc.Arbitrary<infer T> ? T : never): object[] =>
  entries.map((each, index) => {
    const { file, ...rest } = each.content
    return {
      secret: each.secret,
      path: file ? `/srv/${index}/file` : `/srv/${index}/`,
      ...rest,
      ...(file ? each.mount : {}),
      ...each.decision,
      ...(each.mode && { mode: each.mode }),
      ...(each.onChange && { onChange: each.onChange }),
    }
  })

test('parsing what was printed gives the same plan', (t) => {
  fc.assert(
    fc.property(written, (entries) => {
      const plan = parsePlan(stringify(asList(entries)))
      const printed = printPlan(plan)
      t.deepEqual(parsePlan(printed), plan)
      t.deepEqual(readCanonicalPlan(printed), plan)
      t.is(printPlan(parsePlan(printed)), printed)
    }),
    { numRuns: 300 },
  )
})

test('plans differ exactly when their digests differ', (t) => {
  fc.assert(
    fc.property(written, written, (a, b) => {
      const [one, two] = [parsePlan(stringify(asList(a))), parsePlan(stringify(asList(b)))]
      t.is(planDigest(one) === planDigest(two), printPlan(one) === printPlan(two))
    }),
  )
})

test('no text makes the reader throw, and every problem has a place, a reason and a remedy', (t) => {
  const scrap = fc.constantFrom(
    ...['- ', 'secret: ', 'path: ', '/a/b', '\n', '  ', ': ', '{', '}', '[', ']', '"', "'", '|'],
    ...[
      '&a ',
      '*a',
      '!x ',
      '#',
      '? ',
      '---\n',
      '0440',
      'template: ',
      '{{ a }}',
      '\t',
      '\0',
      '<<: ',
    ],
  )
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(scrap, { maxLength: 60 }).map((parts) => parts.join('')),
    fc.json(),
    fc.anything().map((value) => {
      try {
        return stringify([value])
      } catch {
        return ''
      }
    }),
  )
  fc.assert(
    fc.property(anything, (each) => {
      const reading = readPlan(each)
      if (reading.kind === 'plan') return
      t.true(reading.problems.length > 0)
      for (const { place, problem, fix } of reading.problems) {
        t.true(place.line >= 1 && place.column >= 1 && problem !== '' && fix !== '')
      }
    }),
    { numRuns: 2000 },
  )
})

test('no accepted path leaves its shortest form or enters a forbidden tree', (t) => {
  const part = fc.constantFrom('..', '.', '', 'etc', 'proc', 'sys', 'dev', 'run', 'secrets', 'a\0')
  const path = fc
    .array(fc.oneof(part, fc.string({ maxLength: 5 })), { minLength: 1, maxLength: 6 })
    .map((parts) => `/${parts.join('/')}`)
  fc.assert(
    fc.property(path, (each) => {
      const reading = readPlan(JSON.stringify([{ secret: 'a', key: 'k', path: each }]))
      if (reading.kind !== 'plan') return
      const accepted = reading.plan.entries[0]?.path ?? ''
      t.is(accepted, each)
      t.false(
        accepted.split('/').some((name, i) => i > 0 && (name === '' || /^\.\.|^\.$|\0/.test(name))),
      )
      for (const tree of ['/proc', '/sys', '/dev', '/run/secrets', '/var/run/secrets']) {
        t.false(isWithin(accepted, tree))
      }
    }),
    { numRuns: 2000 },
  )
})
