import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import {
  filesOf,
  generationsIn,
  killedAt,
  publisherAt,
  seen,
  temporaryDirectory,
} from '../../support/publishing.ts'

const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777

test('a first set is published with its modes, links, version and manifest', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publication = publisherAt(root).publish([
    ...filesOf({ password: 'hunter2' }),
    ...filesOf({ user: 'app' }, { mode: 0o440, entry: 1 }),
  ])
  t.true(publication.published)
  t.deepEqual([...publication.changed].sort(), [0, 1])
  t.deepEqual(seen(directory), { password: 'hunter2', user: 'app' })
  t.is(fs.readlinkSync(join(directory, 'password')), '..data/password')
  t.is(fs.readlinkSync(join(directory, '..data')), '..gen-1')
  t.is(fs.readFileSync(join(directory, '..version'), 'utf8'), '1\n')
  t.is(modeOf(join(directory, '..gen-1/password')), 0o400)
  t.is(modeOf(join(directory, '..gen-1/user')), 0o440)
  t.is(modeOf(join(directory, '..gen-1')), 0o750)
  t.deepEqual(fs.readdirSync(directory).sort(), [
    '..data',
    '..gen-1',
    '..version',
    'password',
    'user',
  ])
})

test('a directory whose files are the owner’s alone is closed to the group', (t) => {
  const root = temporaryDirectory(t)
  publisherAt(root).publish(filesOf({ a: '1' }))
  t.is(modeOf(join(root, 'etc/app/db')), 0o700)
  t.is(modeOf(join(root, 'etc/app/db/..gen-1')), 0o700)
  t.is(modeOf(join(root, 'etc/app/db/..gen-1/..version')), 0o400)
})

test('a directory that is made for a group is the group’s, whenever making it was cut off', (t) => {
  // Only root may give files to any group; another user has its own to give.
  const group = process.getuid?.() === 0 ? 4242 : (process.getgroups?.().at(-1) ?? 0)
  const files = filesOf({ a: '1' }, { mode: 0o440, group })
  for (let at = 1, calls = at; at <= calls; at += 1) {
    const root = temporaryDirectory(t)
    const operations = killedAt(at)
    try {
      publisherAt(root, { operations }).publish(files)
    } catch {
      // A process that is no more reports nothing.
    }
    publisherAt(root).publish(files)
    const { mode, gid } = fs.lstatSync(join(root, 'etc/app/db'))
    t.deepEqual([mode & 0o7777, gid], [0o750, group], `killed before call ${at}`)
    t.deepEqual([modeOf(join(root, 'etc')), modeOf(join(root, 'etc/app'))], [0o755, 0o755])
    t.deepEqual(fs.readdirSync(join(root, 'etc/app')), ['db'])
    calls = operations.count()
  }
})

test('modes hold whatever the umask is', (t) => {
  for (const umask of [0, 0o077, 0o777]) {
    const root = temporaryDirectory(t)
    const before = process.umask(umask)
    try {
      publisherAt(root).publish(filesOf({ a: '1' }, { mode: 0o640 }))
    } finally {
      process.umask(before)
    }
    t.is(modeOf(join(root, 'etc/app/db/..gen-1/a')), 0o640)
  }
})

test('a set of equal content publishes nothing', (t) => {
  const root = temporaryDirectory(t)
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ a: '1', b: '2' }))
  const again = publisher.publish(filesOf({ b: '2', a: '1' }))
  t.deepEqual(
    { ...again, changed: [...again.changed] },
    { published: false, changed: [], repaired: false },
  )
  t.is(fs.readlinkSync(join(root, 'etc/app/db/..data')), '..gen-1')
})

test('a change names the entries it touches, and the generation before stays until dropped', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publisher = publisherAt(root)
  publisher.publish([...filesOf({ a: '1' }), ...filesOf({ b: '1' }, { entry: 1 })])
  const second = publisher.publish([...filesOf({ a: '1' }), ...filesOf({ b: '2' }, { entry: 1 })])
  t.deepEqual([...second.changed], [1])
  t.deepEqual(generationsIn(directory), ['..gen-1', '..gen-2'])
  t.is(fs.readFileSync(join(directory, '..gen-1/b'), 'utf8'), '1')
  publisher.publish([...filesOf({ a: '1' }), ...filesOf({ b: '3' }, { entry: 1 })])
  t.deepEqual(generationsIn(directory), ['..gen-2', '..gen-3'])
  publisher.dropPrevious()
  t.deepEqual(generationsIn(directory), ['..gen-3'])
  t.deepEqual(seen(directory), { a: '1', b: '3' })
})

test('files that leave the set leave the directory; files of others stay', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ a: '1', b: '2' }))
  fs.writeFileSync(join(directory, '.changed'), '')
  fs.symlinkSync('/nowhere', join(directory, 'foreign'))
  t.deepEqual([...publisher.publish(filesOf({ a: '1' })).changed], [0])
  t.deepEqual(
    fs
      .readdirSync(directory)
      .filter((name) => !name.startsWith('..'))
      .sort(),
    ['.changed', 'a', 'foreign'],
  )
})

test('an empty set is a set', (t) => {
  const root = temporaryDirectory(t)
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ a: '1' }))
  t.true(publisher.publish([]).published)
  t.deepEqual(seen(join(root, 'etc/app/db')), {})
  t.deepEqual(publisherAt(root).adopt().manifest?.files, [])
})

test('withdrawn files are gone from every generation and from sight', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ a: 'old', b: 'old' }))
  publisher.publish(filesOf({ a: 'new', b: 'new' }))
  publisher.withdraw((name) => name === 'a')
  t.deepEqual(seen(directory), { b: 'new' })
  t.deepEqual(seen(join(directory, '..gen-1')), { b: 'old' })
  t.deepEqual(seen(join(directory, '..gen-2')), { b: 'new' })
  t.is(publisherAt(root).adopt().manifest, undefined, 'a set with a hole is not whole')
})

test('a later process adopts what an earlier one published', (t) => {
  const root = temporaryDirectory(t)
  publisherAt(root).publish([...filesOf({ a: '1' }), ...filesOf({ b: '22' }, { entry: 3 })])
  const later = publisherAt(root)
  t.deepEqual(later.adopt().manifest, {
    plan: 'plan-1',
    empty: [],
    files: [
      { name: 'a', entry: 0, size: 1, mode: 0o400, group: undefined },
      { name: 'b', entry: 3, size: 2, mode: 0o400, group: undefined },
    ],
  })
  t.false(later.publish([...filesOf({ a: '1' }), ...filesOf({ b: '22' }, { entry: 3 })]).published)
})

test('nothing is adopted of another plan, of a missing file or of a missing directory', (t) => {
  const root = temporaryDirectory(t)
  t.is(publisherAt(root).adopt().manifest, undefined)
  publisherAt(root).publish(filesOf({ a: '1' }))
  t.is(publisherAt(root, { plan: 'plan-2' }).adopt().manifest, undefined)
  t.deepEqual(seen(join(root, 'etc/app/db')), { a: '1' }, 'what is there stays until replaced')
  fs.unlinkSync(join(root, 'etc/app/db/..gen-1/a'))
  t.is(publisherAt(root).adopt().manifest, undefined)
})

test('files of an entry can be carried over into the next set', (t) => {
  const root = temporaryDirectory(t)
  const publisher = publisherAt(root)
  publisher.publish([...filesOf({ a: '1' }), ...filesOf({ b: '2', c: '3' }, { entry: 1 })])
  const kept = publisher.carryOver(1, { mode: 0o400, group: undefined })
  const next = publisher.publish([...filesOf({ a: 'new' }), ...kept])
  t.deepEqual([...next.changed], [0])
  t.deepEqual(seen(join(root, 'etc/app/db')), { a: 'new', b: '2', c: '3' })
})
