import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fieldNames } from '../../src/injection/entry.ts'
import { readPlan } from '../../src/injection/parse.ts'
import { encodedFormats } from '../../src/injection/plan.ts'
import { filters } from '../../src/injection/template.ts'
import { fencedBlocks } from '../support/markdown.ts'

const page = join(import.meta.dirname, '..', '..', 'src', 'injection', 'ANNOTATION.md')

/** First cells of the table under a heading, taken apart into the words in them. */
function firstCells(text: string, heading: string): readonly string[] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  return [...section.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word),
  )
}

test('every example is a list that the webhook takes', async (t) => {
  const blocks = fencedBlocks(await readFile(page, 'utf8')).filter((it) => it.language === 'yaml')
  t.true(blocks.length >= 5)
  for (const { line, text } of blocks) {
    const reading = readPlan(text)
    t.is(reading.kind, 'plan', `line ${line}: ${JSON.stringify(reading)}`)
  }
})

test('the table of fields has every field, and no other', async (t) => {
  const fields = firstCells(await readFile(page, 'utf8'), 'Fields')
  t.deepEqual([...fields].sort(), [...fieldNames].sort())
})

test('the tables of formats and filters are whole', async (t) => {
  const text = await readFile(page, 'utf8')
  t.deepEqual(firstCells(text, 'Formats'), ['raw', 'files', ...encodedFormats])
  t.deepEqual([...firstCells(text, 'Templates')].sort(), [...filters].sort())
})
