import test from 'ava'
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { readPlan } from '../../src/injection/parse.ts'
import { describeProblem } from '../../src/injection/problem.ts'

interface Mistake {
  readonly title: string
  readonly text: string
  readonly problems: readonly string[]
}

const mistakes = parse(
  await readFile(new URL('../vectors/annotation-mistakes.yaml', import.meta.url), 'utf8'),
) as readonly Mistake[]

const told = (text: string): string[] => {
  const reading = readPlan(text)
  if (reading.kind === 'plan') return []
  return reading.problems.map(
    (problem) => `${problem.place.line}:${problem.place.column} ${describeProblem(problem)}`,
  )
}

test('the corpus of mistakes is there', (t) => {
  t.true(mistakes.length >= 130)
  t.is(new Set(mistakes.map(({ title }) => title)).size, mistakes.length)
})

for (const { title, text, problems } of mistakes) {
  test(`refused with its reason and remedy: ${title}`, (t) => {
    t.deepEqual(told(text), problems)
    t.not(problems.length, 0)
  })
}

test('a text over 64 KiB is refused before it is parsed', (t) => {
  const text = `- secret: db\n  path: /a/b/\n# ${'é'.repeat(40_000)}\n`
  t.deepEqual(told(text), ['1:1 is 80030 bytes long, more than 65536; shorten its templates'])
})

test('more than 128 entries are refused', (t) => {
  const text = Array.from({ length: 129 }, (_, i) => `- {secret: s, path: /a/${i}/}\n`).join('')
  t.deepEqual(told(text), [
    '1:1 has 129 entries, more than 128; mount whole secrets (a path that ends with /) instead of single keys',
  ])
  t.deepEqual(told(text.replace('- {secret: s, path: /a/0/}\n', '')), [])
})

test('a path over 4000 bytes is refused', (t) => {
  const path = `/a/${'b/'.repeat(2000)}c`
  t.deepEqual(told(`- secret: db\n  key: k\n  path: ${path}\n`), [
    '3:9 entry 1, path: is longer than 4000 bytes; choose a shorter path',
  ])
})

for (const [title, text] of [
  ['brackets', '['.repeat(60_000)],
  ['dashes', '- '.repeat(30_000)],
  ['braces', '{a: '.repeat(16_000)],
  ['question marks', '? '.repeat(30_000)],
  ['closed brackets', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
] as const) {
  test(`thousands of ${title} are refused, not followed`, (t) => {
    t.true(told(text).length > 0)
  })
}

test('aliases that would multiply are refused without being resolved', (t) => {
  const lines = ['- &a0 [x, x]']
  for (let i = 1; i < 40; i += 1) lines.push(`- &a${i} [*a${i - 1}, *a${i - 1}]`)
  const started = performance.now()
  t.true(told(`${lines.join('\n')}\n`).length > 0)
  t.true(performance.now() - started < 30_000)
})
