import test from 'ava'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import manifest from '../../package.json' with { type: 'json' }
import { type Instruction, parseDockerfile, type Stage } from '../support/dockerfile.ts'

const project = join(import.meta.dirname, '..', '..')
const stages = parseDockerfile(await readFile(join(project, 'Dockerfile'), 'utf8'))
const [build, final] = stages as [Stage, Stage]

const copies = (stage: Stage): readonly Instruction[] =>
  stage.instructions.filter(({ name }) => name === 'COPY')
const ownFiles = copies(build).flatMap(({ words }) => words.slice(0, -1))

test('two named stages; neither image is whatever happens to be the latest', (t) => {
  t.deepEqual(
    stages.map(({ name }) => name),
    ['build', 'latchkey'],
  )
  for (const { image } of stages) t.regex(image, /^[^:]+:(?!latest)[\w.-]+$/)
})

test('the image has the very Node.js that the project is developed with', (t) => {
  t.is(build.image, `node:${manifest.devDependencies.node}-bookworm-slim`)
})

test('every file that is copied exists, and .dockerignore lets exactly these through', async (t) => {
  for (const file of ownFiles) await t.notThrowsAsync(access(join(project, file)))
  const [everything, ...allowed] = (await readFile(join(project, '.dockerignore'), 'utf8'))
    .trim()
    .split('\n')
  t.is(everything, '*')
  t.deepEqual(allowed.sort(), ownFiles.map((file) => `!${file}`).sort())
})

test('the final stage copies from the build alone', (t) => {
  t.true(copies(final).length > 0)
  for (const { flags } of copies(final)) t.deepEqual(flags, ['--from=build'])
  t.false(final.instructions.some(({ name }) => name === 'RUN'))
})

test('programs are found on PATH and run as a numeric user that is not root', (t) => {
  const last = (name: string): readonly string[] | undefined =>
    final.instructions.findLast((it) => it.name === name)?.words
  t.deepEqual(last('ENV'), ['PATH=/opt/latchkey/bin:/usr/local/bin'])
  t.deepEqual(last('USER'), ['65532:65532'])
  t.true(copies(final).some(({ words }) => words.at(-1) === '/opt/latchkey'))
})

test('the compile cache is made for the user that the image runs as', (t) => {
  const run = build.instructions.find(({ words }) => words.includes('scripts/build.ts'))?.words ?? []
  t.is(run[0], '/usr/local/bin/node')
  t.is(run[run.indexOf('--cache-uid') + 1], '65532')
  t.is(run[run.indexOf('--out') + 1], '/opt/latchkey')
})

test('no instruction is misread: one that the reader does not know is an error', (t) => {
  t.throws(() => parseDockerfile('FROM a\nADD https://example.test/x /x'), { message: /unknown/ })
  t.throws(() => parseDockerfile('RUN true'), { message: /before FROM/ })
})
