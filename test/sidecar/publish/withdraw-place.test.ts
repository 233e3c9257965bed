import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { withdrawPlace } from '../../../src/sidecar/publish/withdraw-place.ts'
import {
  failing,
  filesOf,
  killedAt,
  publisherAt,
  seen,
  temporaryDirectory,
} from '../../support/publishing.ts'

const path = '/etc/app/db'
const operations = systemFileOperations

/** Two generations of ours, and a file of somebody else. */
function publishTwice(root: string): string {
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ password: 'one', user: 'shop' }))
  publisher.publish(filesOf({ password: 'two', user: 'shop' }))
  const directory = join(root, path)
  fs.writeFileSync(join(directory, 'theirs'), 'kept')
  fs.symlinkSync('theirs', join(directory, 'link'))
  return directory
}

const others = ['link', 'theirs']

test('all that was published goes, and the directory and what others put there stay', (t) => {
  const root = temporaryDirectory(t)
  const directory = publishTwice(root)
  t.true(withdrawPlace({ root, path }, { plans: ['plan-0', 'plan-1'], operations }))
  t.deepEqual(fs.readdirSync(directory).sort(), others)
  t.false(withdrawPlace({ root, path }, { plans: ['plan-1'], operations }))
  t.deepEqual(seen(directory), { link: 'kept', theirs: 'kept' })
})

test('what is published for another plan is let be, and so is what is not understood', (t) => {
  const root = temporaryDirectory(t)
  const directory = publishTwice(root)
  const before = fs.readdirSync(directory).sort()
  t.false(withdrawPlace({ root, path }, { plans: ['plan-2'], operations }))
  const manifest = join(directory, '..data/..set')
  fs.chmodSync(manifest, 0o600)
  fs.writeFileSync(manifest, '{"format":2,"plan":"plan-1"}')
  t.false(withdrawPlace({ root, path }, { plans: ['plan-1'], operations }))
  t.deepEqual(fs.readdirSync(directory).sort(), before)
  t.like(seen(directory), { password: 'two', user: 'shop' })
})

test('where nothing of ours is, nothing is touched', (t) => {
  const root = temporaryDirectory(t)
  t.false(withdrawPlace({ root, path }, { plans: ['plan-1'], operations }))
  t.deepEqual(fs.readdirSync(root), [])
  // As Kubernetes publishes a Secret of its own.
  const directory = join(root, path)
  fs.mkdirSync(join(directory, '..2026_01_02'), { recursive: true })
  fs.writeFileSync(join(directory, '..2026_01_02/password'), 'theirs')
  fs.symlinkSync('..2026_01_02', join(directory, '..data'))
  fs.symlinkSync('..data/password', join(directory, 'password'))
  t.false(withdrawPlace({ root, path }, { plans: ['plan-1'], operations }))
  t.deepEqual(seen(directory), { password: 'theirs' })
})

test('a link on the way is not followed', (t) => {
  const root = temporaryDirectory(t)
  const elsewhere = temporaryDirectory(t)
  const directory = publishTwice(elsewhere)
  fs.mkdirSync(join(root, 'etc'))
  fs.symlinkSync(join(elsewhere, 'etc/app'), join(root, 'etc/app'))
  t.throws(() => withdrawPlace({ root, path }, { plans: ['plan-1'], operations }), {
    code: 'ERR_TARGET_UNSAFE',
  })
  t.like(seen(directory), { password: 'two' })
})

test('stopped before any system call, it is finished when it is repeated', (t) => {
  for (let at = 1; ; at += 1) {
    const root = temporaryDirectory(t)
    const directory = publishTwice(root)
    const killed = killedAt(at)
    let stopped = true
    try {
      withdrawPlace({ root, path }, { plans: ['plan-1'], operations: killed })
      stopped = false
    } catch {
      // As a process that is killed it says nothing.
    }
    withdrawPlace({ root, path }, { plans: ['plan-1'], operations })
    t.deepEqual(fs.readdirSync(directory).sort(), others, String(at))
    if (!stopped) {
      t.true(at > 20)
      return
    }
  }
})

test('one file that cannot be removed keeps no other, and is told', (t) => {
  const root = temporaryDirectory(t)
  const directory = publishTwice(root)
  const faulty = failing('unlink', 'EIO', (call) => call === 1)
  t.throws(() => withdrawPlace({ root, path }, { plans: ['plan-1'], operations: faulty }), {
    code: 'ERR_IO',
  })
  t.true(withdrawPlace({ root, path }, { plans: ['plan-1'], operations }))
  t.deepEqual(fs.readdirSync(directory).sort(), others)
})
