import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '../../../src/base/bytes.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { BoundFilePublisher } from '../../../src/sidecar/publish/bound-file.ts'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import type { FileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { failing, intercepted, killedAt, temporaryDirectory } from '../../support/publishing.ts'

const at = (
  root: string,
  update: 'in-place' | 'restart',
  operations: FileOperations = systemFileOperations,
): BoundFilePublisher =>
  new BoundFilePublisher({ root, path: '/etc/nginx/tls.key', update, operations })

const file = (
  text: string,
  mode = 0o400,
): { bytes: SecretBytes; mode: number; group: undefined } => ({
  bytes: SecretBytes.take(utf8(text)),
  mode,
  group: undefined,
})

const facts = (root: string): [text: string, inode: number, mode: number] => {
  const path = join(root, 'etc/nginx/tls.key')
  const { ino, mode } = fs.lstatSync(path)
  return [fs.readFileSync(path, 'utf8'), ino, mode & 0o7777]
}

const leavings = (root: string): string[] =>
  fs.readdirSync(join(root, 'etc/nginx')).filter((name) => name !== 'tls.key')

test('a bound file is a regular file with its final mode', (t) => {
  const root = temporaryDirectory(t)
  t.is(at(root, 'restart').publish(file('one', 0o440), 'absent'), 'published')
  const [text, , mode] = facts(root)
  t.deepEqual([text, mode], ['one', 0o440])
  t.deepEqual(leavings(root), [])
})

test('updated in place, it keeps its inode and its mode, longer or shorter', (t) => {
  const root = temporaryDirectory(t)
  const bound = at(root, 'in-place')
  bound.publish(file('one'), 'absent')
  const [, inode] = facts(root)
  for (const text of ['a longer value', 'x', '', 'again']) {
    t.is(bound.publish(file(text), 'published'), 'published')
    t.deepEqual(facts(root), [text, inode, 0o400])
  }
  t.is(bound.publish(file('again'), 'published'), 'unchanged')
  t.deepEqual(leavings(root), [])
})

test('a file that somebody opened to others is closed before a new value is in it', (t) => {
  const root = temporaryDirectory(t)
  at(root, 'in-place').publish(file('one', 0o440), 'absent')
  fs.chmodSync(join(root, 'etc/nginx/tls.key'), 0o666)
  const modes: number[] = []
  const operations = intercepted((call, name) => {
    if (name === 'write') modes.push(facts(root)[2])
    return call()
  }, {})
  at(root, 'in-place', operations).publish(file('two', 0o440), 'published')
  t.is(facts(root)[2], 0o440)
  // The first one is aside.
  t.deepEqual(modes, [0o666, 0o640])
})

test('fixed until restart, it says that it waits', (t) => {
  const root = temporaryDirectory(t)
  const bound = at(root, 'restart')
  bound.publish(file('one'), 'absent')
  const before = facts(root)
  t.is(bound.publish(file('two'), 'published'), 'waits-for-restart')
  t.deepEqual(facts(root), before)
  t.is(bound.publish(file('one'), 'published'), 'unchanged')
})

test('emptied by a decision, it keeps its inode, and is filled again by the next value', (t) => {
  for (const update of ['restart', 'in-place'] as const) {
    const root = temporaryDirectory(t)
    const bound = at(root, update)
    bound.publish(file('one'), 'absent')
    const [, inode] = facts(root)
    bound.empty()
    t.deepEqual(facts(root), ['', inode, 0o400])
    t.is(bound.publish(file('two'), 'emptied'), 'published')
    t.deepEqual(facts(root), ['two', inode, 0o400])
  }
})

test('a changed mode is repaired without a publication', (t) => {
  const root = temporaryDirectory(t)
  const bound = at(root, 'in-place')
  bound.publish(file('one', 0o440), 'absent')
  fs.chmodSync(join(root, 'etc/nginx/tls.key'), 0o666)
  t.is(bound.publish(file('one', 0o440), 'published'), 'unchanged')
  t.is(facts(root)[2], 0o440)
})

test('what was in the way before the first publication is replaced, a link not followed', (t) => {
  const root = temporaryDirectory(t)
  const other = join(temporaryDirectory(t), 'other')
  fs.writeFileSync(other, 'untouched')
  const path = join(root, 'etc/nginx/tls.key')
  for (const prepare of [
    () => {
      fs.symlinkSync(other, path)
    },
    () => {
      fs.mkdirSync(path)
    },
    () => {
      fs.writeFileSync(path, 'stale', { mode: 0o666 })
    },
  ]) {
    fs.mkdirSync(join(root, 'etc/nginx'), { recursive: true })
    prepare()
    at(root, 'restart').publish(file('one'), 'absent')
    t.is(facts(root)[0], 'one')
    t.is(facts(root)[2], 0o400)
    fs.rmSync(join(root, 'etc/nginx'), { recursive: true })
  }
  t.is(fs.readFileSync(other, 'utf8'), 'untouched')
})

for (let call = 1; call <= 3; call += 1) {
  test(`a full volume at write ${call} of an update leaves the old content and nothing else`, (t) => {
    const root = temporaryDirectory(t)
    at(root, 'in-place').publish(file('old'), 'absent')
    const operations = failing('write', 'ENOSPC', (each) => each === call)
    const bound = at(root, 'in-place', operations)
    const publish = (): void => {
      bound.publish(file('a much longer value'), 'published')
    }
    if (call <= 2) {
      t.throws(publish, { code: 'ERR_DISK_FULL' })
      t.is(facts(root)[0], 'old')
      t.deepEqual(leavings(root), [])
    } else {
      // The space was taken beforehand; should the write fail all the same, a repetition completes it.
      t.throws(publish, { code: 'ERR_DISK_FULL' })
      t.true(at(root, 'in-place').recover())
      t.is(facts(root)[0], 'a much longer value')
      t.deepEqual(leavings(root), [])
    }
  })
}

test('stopped before any system call of an update, a restart ends in the old or the new content', (t) => {
  const outcomes = new Set<string>()
  for (let stop = 1; ; stop += 1) {
    const root = temporaryDirectory(t)
    at(root, 'in-place').publish(file('the old value'), 'absent')
    const operations = killedAt(stop)
    try {
      at(root, 'in-place', operations).publish(file('new'), 'published')
    } catch {
      // A process that is no more reports nothing.
    }
    t.true(at(root, 'in-place').recover())
    const [text] = facts(root)
    t.true(text === 'the old value' || text === 'new', `stopped before call ${stop}: ${text}`)
    t.deepEqual(leavings(root), [])
    outcomes.add(text)
    at(root, 'in-place').publish(file('new'), 'published')
    t.is(facts(root)[0], 'new')
    t.is(facts(root)[2], 0o400)
    if (operations.count() < stop) break
  }
  t.is(outcomes.size, 2)
})

test('stopped before any system call of emptying, a repetition ends in an empty file', (t) => {
  for (let stop = 1; ; stop += 1) {
    const root = temporaryDirectory(t)
    at(root, 'restart').publish(file('one'), 'absent')
    const operations = killedAt(stop)
    try {
      at(root, 'restart', operations).empty()
    } catch {
      // As above.
    }
    at(root, 'restart').recover()
    at(root, 'restart').empty()
    t.is(facts(root)[0], '')
    if (operations.count() < stop) break
  }
})

test('nothing is there before the first publication', (t) => {
  const root = temporaryDirectory(t)
  t.false(at(root, 'restart').recover())
  t.notThrows(() => {
    at(root, 'restart').empty()
  })
})
