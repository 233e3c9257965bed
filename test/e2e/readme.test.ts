import test from 'ava'
import { execFile } from 'node:child_process'
import { cp, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import manifest from '../../package.json' with { type: 'json' }
import { fencedBlocks } from '../support/markdown.ts'
import { type Child, startChild } from './support/child.ts'
import { useGround } from './support/ground.ts'
import { runOk } from './support/run-program.ts'
import { until } from './support/until.ts'

// README.md, done by a newcomer: in a fresh copy of the project, every command in its order.

const ground = useGround(test)
const project = join(import.meta.dirname, '..', '..')
const copy = join(ground.dir, 'latchkey')
/** What .ci/run runs from a clean clone, this test among it; and what takes an hour. */
const suites = ['npm test', 'npm run test:e2e', 'npm run test:cluster', 'npm run bench']
const longRunning = 'npm start'

let readme: string

test.before(async () => {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
  const { stdout } = await promisify(execFile)('git', list, { cwd: project, maxBuffer: 1 << 26 })
  for (const file of new Set(stdout.split('\0').filter(Boolean))) {
    // A file may be gone that the index still has.
    await cp(join(project, file), join(copy, file)).catch(() => undefined)
  }
  readme = await readFile(join(copy, 'README.md'), 'utf8')
})

/** The newcomer's PATH: the machine's own Node.js, whatever its age, and nothing of this checkout. */
function newcomersPath(): string {
  const path = (process.env['PATH'] ?? '').split(':')
  return path.filter((directory) => !directory.includes('node_modules')).join(':')
}

async function shell(script: string): Promise<string> {
  // A release runs with the machine's Node.js, which must be new; the one that npm ci brought is.
  const release = script.includes('dist/bin/') ? `${join(copy, 'node_modules/.bin')}:` : ''
  return await runOk(ground, {
    command: 'bash',
    args: ['--norc', '-euo', 'pipefail', '-c', `cd '${copy}'\n${script}`],
    env: { HOME: homedir(), PATH: `${release}${newcomersPath()}` },
    timeoutMs: 900_000,
  })
}

function start(command: string): Child {
  return startChild(ground, {
    name: 'npm-start',
    command: 'bash',
    args: ['--norc', '-c', `exec ${command}`],
    env: { HOME: homedir(), PATH: newcomersPath() },
    cwd: copy,
  })
}

/** Runs `$ command` lines and compares what each prints with what is shown, ids and ages aside. */
async function session(text: string): Promise<void> {
  for (const [, command = '', shown = ''] of text.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n)*)/gm)) {
    const changesNothing = /^(?:cat|ls) /.test(command)
    const matches = async (): Promise<boolean> => {
      const printed = await shell(command)
      if (blurred(printed) === blurred(shown)) return true
      throw new Error(`${command}\nprinted\n${printed}where README.md shows\n${shown}`)
    }
    if (changesNothing) await until(command, matches, { timeoutMs: 10_000 })
    else await matches()
  }
}

function blurred(output: string): string {
  return output
    .trim()
    .replaceAll(/lk1\.(\d+)\.[A-Za-z0-9_-]{22}/g, 'lk1.$1.ID')
    .replaceAll(/\b\d+[smhd]\b/g, 'AGE')
    .replaceAll(/ +/g, ' ')
}

test.serial('a newcomer can do everything that README.md shows', async (t) => {
  let running: Child | undefined
  const blocks = fencedBlocks(readme).filter(({ language }) => /^(?:sh|console)$/.test(language))
  // The session on the first screen needs what is installed further down.
  blocks.sort((a, b) => Number(b.text.includes('npm ci')) - Number(a.text.includes('npm ci')))
  for (const { language, text } of blocks) {
    if (language === 'console') {
      await session(text)
      continue
    }
    for (const command of text.trimEnd().split('\n')) {
      if (suites.includes(command)) continue
      if (command !== longRunning) {
        await shell(command)
        continue
      }
      const child = start(command)
      running = child
      await until('npm start to be ready', () => child.stdout().includes('What happens'), {
        timeoutMs: 60_000,
      })
    }
  }
  t.true(blocks.length >= 6)
  // Ctrl-C: everyone in the terminal's process group gets it, npm too.
  running?.signal('SIGINT')
  await running?.exited
  t.regex(running?.stdout() ?? '', /kms\.stopped/)
})

test.serial('what is left out here is run by .ci/run', async (t) => {
  const script = await readFile(join(project, '.ci', 'run'), 'utf8')
  for (const suite of suites.slice(0, 3)) t.true(script.includes(suite), suite)
  t.true('bench' in manifest.scripts)
})
