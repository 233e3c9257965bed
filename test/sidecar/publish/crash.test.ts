import test from 'ava'
import type { ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import {
  filesOf,
  generationsIn,
  killedAt,
  publisherAt,
  seen,
  seenThroughLink,
  temporaryDirectory,
} from '../../support/publishing.ts'

type Texts = Readonly<Record<string, string>>

/** After a crash: readers see all of `before` or all of `after`, and a restart ends in `after`. */
const check = (
  t: ExecutionContext,
  root: string,
  { before, after, at }: { before: Texts | undefined; after: Texts; at: number },
): void => {
  const directory = join(root, 'etc/app/db')
  const found = seenThroughLink(directory)
  const old = JSON.stringify(before)
  t.true(
    JSON.stringify(found) === old || JSON.stringify(found) === JSON.stringify(after),
    `killed before call ${at}: ${JSON.stringify(found)}`,
  )
  const restarted = publisherAt(root)
  const adopted = restarted.adopt().manifest
  if (found !== undefined) {
    t.deepEqual(
      adopted?.files.map(({ name }) => name),
      Object.keys(found),
      `killed before call ${at}`,
    )
    t.deepEqual(seen(directory), found, `adopted after call ${at}`)
  }
  restarted.publish(filesOf(after))
  restarted.dropPrevious()
  t.deepEqual(seen(directory), after)
  t.is(generationsIn(directory).length, 1)
  const own = fs.readdirSync(directory).filter((name) => name.startsWith('..'))
  t.deepEqual(own.sort(), ['..data', generationsIn(directory)[0], '..version'])
}

const scenarios: readonly (readonly [string, Texts | undefined, Texts])[] = [
  ['a first set', undefined, { a: '1', b: '2' }],
  ['an update', { a: '1', b: '2' }, { a: '3', b: '4' }],
  ['a file added', { a: '1' }, { a: '1', b: '2' }],
  ['a file removed', { a: '1', b: '2' }, { b: '2' }],
  ['everything removed', { a: '1', b: '2' }, {}],
  ['every file replaced by others', { a: '1', b: '2' }, { c: '3', d: '4' }],
]

for (const [what, before, after] of scenarios) {
  test(`stopped before any of its system calls, ${what} is old or new`, (t) => {
    for (let at = 1; ; at += 1) {
      const root = temporaryDirectory(t)
      if (before !== undefined) publisherAt(root).publish(filesOf(before))
      const operations = killedAt(at)
      try {
        publisherAt(root, { operations }).publish(filesOf(after))
      } catch {
        // A process that is no more reports nothing.
      }
      if (operations.count() < at) {
        t.true(at > 30, `only ${at} calls`)
        return
      }
      check(t, root, { before, after, at })
    }
  })
}

test('stopped before any system call of a withdrawal, a repetition completes it', (t) => {
  for (let at = 1; ; at += 1) {
    const root = temporaryDirectory(t)
    publisherAt(root).publish(filesOf({ a: '1', b: '1' }))
    publisherAt(root).publish(filesOf({ a: '2', b: '2' }))
    const operations: FileOperations & { count: () => number } = killedAt(at)
    try {
      publisherAt(root, { operations }).withdraw((name) => name === 'a')
    } catch {
      // As above.
    }
    publisherAt(root).withdraw((name) => name === 'a')
    t.deepEqual(seen(join(root, 'etc/app/db')), { b: '2' })
    t.deepEqual(seen(join(root, 'etc/app/db/..gen-1')), { b: '1' })
    if (operations.count() < at) return
  }
})

const child = fileURLToPath(new URL('crash-child.ts', import.meta.url))

const runChild = (root: string, at: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [child, root, String(at)], { stdio: 'inherit' })
    process_.once('error', reject)
    process_.once('exit', (code, signal) => {
      resolve(signal ?? String(code))
    })
  })

test('kill -9 before any system call of an update leaves the old set or the new one', async (t) => {
  t.timeout(120_000)
  const [before, after] = [
    { a: '1', b: '2' },
    { a: '3', b: '4' },
  ]
  let kills = 0
  let ended = ''
  for (let at = 1; ended !== '0'; at += 1) {
    const root = temporaryDirectory(t)
    publisherAt(root).publish(filesOf(before))
    ended = await runChild(root, at)
    if (ended === 'SIGKILL') kills += 1
    else t.is(ended, '0')
    check(t, root, { before, after, at })
  }
  t.true(kills > 40, `killed ${kills} times`)
})
