import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import {
  failing,
  filesOf,
  generationsIn,
  intercepted,
  publisherAt,
  seen,
  temporaryDirectory,
} from '../../support/publishing.ts'

const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777

for (const link of ['etc', 'etc/app', 'etc/app/db']) {
  test(`a link at ${link} is not followed out of the root`, (t) => {
    const root = temporaryDirectory(t)
    const elsewhere = temporaryDirectory(t)
    fs.mkdirSync(join(elsewhere, 'app/db'), { recursive: true })
    fs.mkdirSync(join(root, link, '..'), { recursive: true })
    fs.symlinkSync(elsewhere, join(root, link))
    const error = t.throws(() => publisherAt(root).publish(filesOf({ a: '1' })), {
      code: 'ERR_TARGET_UNSAFE',
    })
    t.regex(error.message, /^\/etc\/app\/db: .* is a link$/)
    t.deepEqual(fs.readdirSync(elsewhere), ['app'])
    t.deepEqual(fs.readdirSync(join(elsewhere, 'app/db')), [])
  })
}

test('a root that is itself a link is the operator’s choice', (t) => {
  const real = temporaryDirectory(t)
  const link = join(temporaryDirectory(t), 'root')
  fs.symlinkSync(real, link)
  publisherAt(link).publish(filesOf({ a: '1' }))
  t.deepEqual(seen(join(real, 'etc/app/db')), { a: '1' })
})

test('a directory swapped for a link while a set is written does not catch the files', (t) => {
  const root = temporaryDirectory(t)
  const elsewhere = temporaryDirectory(t)
  const moved = join(root, 'moved')
  const swapping = intercepted((call, name) => {
    const result = call()
    if (name === 'createFile' && !fs.existsSync(moved)) {
      fs.renameSync(join(root, 'etc/app/db'), moved)
      fs.symlinkSync(elsewhere, join(root, 'etc/app/db'))
    }
    return result
  }, {})
  publisherAt(root, { operations: swapping }).publish(filesOf({ a: '1', b: '2' }))
  t.deepEqual(fs.readdirSync(elsewhere), [])
  t.deepEqual(seen(moved), { a: '1', b: '2' })
})

for (const [method, code, expected] of [
  ['write', 'ENOSPC', 'ERR_DISK_FULL'],
  ['createFile', 'ENOSPC', 'ERR_DISK_FULL'],
  ['makeDirectory', 'ENOSPC', 'ERR_DISK_FULL'],
  ['write', 'EDQUOT', 'ERR_DISK_FULL'],
  ['makeLink', 'ENOSPC', 'ERR_DISK_FULL'],
  ['makeDirectory', 'EROFS', 'ERR_READ_ONLY'],
  ['sync', 'EIO', 'ERR_IO'],
  ['rename', 'EIO', 'ERR_IO'],
] as const) {
  test(`${code} from ${method} leaves the old set, reports ${expected} and leaves nothing behind`, (t) => {
    const root = temporaryDirectory(t)
    const directory = join(root, 'etc/app/db')
    publisherAt(root).publish(filesOf({ a: 'old', b: 'old' }))
    const broken = publisherAt(root, { operations: failing(method, code) })
    t.throws(() => broken.publish(filesOf({ a: 'new', b: 'new' })), { code: expected })
    t.deepEqual(seen(directory), { a: 'old', b: 'old' })
    t.true(publisherAt(root).publish(filesOf({ a: 'new', b: 'new' })).published)
    t.deepEqual(seen(directory), { a: 'new', b: 'new' })
    publisherAt(root).dropPrevious()
    t.is(generationsIn(directory).length, 1)
  })
}

test('a volume full with generations gives up the oldest before it gives up the new set', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  publisherAt(root).publish(filesOf({ a: '1' }))
  publisherAt(root).publish(filesOf({ a: '2' }))
  const full = (): boolean => generationsIn(directory).length > 2
  const operations = failing('write', 'ENOSPC', full)
  t.true(publisherAt(root, { operations }).publish(filesOf({ a: '3' })).published)
  t.deepEqual(seen(directory), { a: '3' })
  t.deepEqual(generationsIn(directory), ['..gen-2', '..gen-3'])
})

test('short writes are continued', (t) => {
  const root = temporaryDirectory(t)
  const short = intercepted((call, name, args) => {
    if (name !== 'write') return call()
    const [fd, bytes, position] = args as [number, Uint8Array, number]
    return fs.writeSync(fd, bytes, 0, Math.min(bytes.byteLength, 3), position)
  }, {})
  publisherAt(root, { operations: short }).publish(filesOf({ a: 'a longer value' }))
  t.deepEqual(seen(join(root, 'etc/app/db')), { a: 'a longer value' })
})

test('a group that the process is not in is an error that names it', (t) => {
  const root = temporaryDirectory(t)
  const operations = failing('chgrp', 'EPERM')
  const publish = (): unknown =>
    publisherAt(root, { operations }).publish(filesOf({ a: '1' }, { mode: 0o440, group: 4242 }))
  t.regex(t.throws(publish, { code: 'ERR_TARGET_OWNER' }).message, /group 4242/)
  t.false(fs.existsSync(join(root, 'etc/app/db')))
  fs.mkdirSync(join(root, 'etc/app/db'))
  t.regex(t.throws(publish, { code: 'ERR_TARGET_OWNER' }).message, /group 4242/)
  t.deepEqual(fs.readdirSync(join(root, 'etc/app/db')), [])
})

test('at no instant does anything of a set have more rights than asked', (t) => {
  const root = temporaryDirectory(t)
  // Only root may give files to any group; another user has its own to give.
  const group = process.getuid?.() === 0 ? 4242 : (process.getgroups?.().at(-1) ?? 0)
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  let checks = 0
  const watched = intercepted((call) => {
    const result = call()
    for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
      if (entry.isSymbolicLink() || !entry.parentPath.includes('..gen-')) continue
      const { mode, gid } = fs.lstatSync(join(entry.parentPath, entry.name))
      t.is(mode & 0o007, 0, entry.name)
      if (gid !== group) t.is(mode & 0o070, 0, `${entry.name} is open to another group`)
      checks += 1
    }
    return result
  }, {})
  const publisher = publisherAt(root, { operations: watched })
  publisher.publish(filesOf({ a: '1', b: '2' }, { mode: 0o440, group }))
  publisher.publish(filesOf({ a: '2', b: '3' }, { mode: 0o440, group }))
  t.true(checks > 50)
  const { mode, gid } = fs.lstatSync(join(root, 'etc/app/db/..gen-2/a'))
  t.deepEqual([mode & 0o777, gid], [0o440, group])
  t.is(modeOf(join(root, 'etc/app/db/..gen-2')), 0o750)
})
