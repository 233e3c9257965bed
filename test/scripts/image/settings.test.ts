import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { paths, settings } from '../../../scripts/image/settings.ts'
import { parseDockerfile, type Stage } from '../../support/dockerfile.ts'

const project = join(import.meta.dirname, '../../..')
const stages = parseDockerfile(await readFile(join(project, 'Dockerfile'), 'utf8'))
const [build, final] = stages as [Stage, Stage]
const words = (stage: Stage, name: string): readonly (readonly string[])[] =>
  stage.instructions.filter((it) => it.name === name).map((it) => it.words)

test('the image that npm run image makes is that of the Dockerfile', (t) => {
  t.deepEqual(words(final, 'USER'), [[settings.User]])
  t.deepEqual(words(final, 'ENV'), [[...settings.Env]])
  t.deepEqual(words(final, 'WORKDIR'), [[settings.WorkingDir]])
  t.deepEqual(JSON.parse(words(final, 'CMD').at(-1)?.join(' ') ?? ''), [...settings.Cmd])
  t.deepEqual(words(final, 'COPY'), [
    [paths.node, paths.node],
    [paths.release, paths.release],
    ['/usr/local/LICENSE', `${paths.release}/NODE_LICENSE`],
  ])
})

test('both build the release into the same place, with launchers that name that Node.js', (t) => {
  const run = words(build, 'RUN').find((it) => it.includes('scripts/build.ts')) ?? []
  t.is(run[run.indexOf('--out') + 1], paths.release)
  t.true(run.join(' ').includes(`1s,.*,#!${paths.node},`))
})
