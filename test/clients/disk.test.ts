import test from 'ava'
import * as fs from 'node:fs/promises'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { createRandomPool } from '../../src/base/random.ts'
import {
  createFile,
  diskError,
  makeDirectories,
  replaceFile,
  systemDisk,
} from '../../src/clients/disk.ts'
import { failingDisk, hookedDisk, recordedDisk, systemError } from '../support/hooked-disk.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const random = createRandomPool()
const [old, fresh] = [Buffer.from('old'), Buffer.from('new')]

test('a replaced file holds the new content, with the mode asked for, and nothing is left over', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = `${directory}/file`
  await replaceFile(path, old, { disk: systemDisk, random, mode: 0o600 })
  await replaceFile(path, fresh, { disk: systemDisk, random, mode: 0o640 })
  t.deepEqual(await fs.readFile(path), fresh)
  t.is((await fs.stat(path)).mode & 0o777, 0o640)
  t.deepEqual(await fs.readdir(directory), ['file'])
})

test('content is synced before it gets its name, and the name before success is told', async (t) => {
  const directory = await temporaryDirectory(t)
  const { disk, calls } = recordedDisk(systemDisk)
  await replaceFile(`${directory}/file`, fresh, { disk, random, mode: 0o600 })
  t.deepEqual(
    calls.map(({ name }) => name),
    ['create', 'write', 'sync', 'close', 'rename', 'syncDirectory'],
  )
  calls.length = 0
  await createFile(`${directory}/other`, fresh, { disk, random, mode: 0o600 })
  t.deepEqual(
    calls.map(({ name }) => name),
    ['create', 'write', 'sync', 'close', 'link', 'unlink', 'syncDirectory'],
  )
})

test('of many who create one file exactly one is told that it did', async (t) => {
  const directory = await temporaryDirectory(t)
  const results = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => ({
      index,
      created: await createFile(`${directory}/file`, Buffer.from(String(index)), {
        disk: systemDisk,
        random,
        mode: 0o600,
      }),
    })),
  )
  const winners = results.filter(({ created }) => created)
  t.is(winners.length, 1)
  t.is(await fs.readFile(`${directory}/file`, 'utf8'), String(winners[0]?.index))
  t.deepEqual(await fs.readdir(directory), ['file'])
})

for (const [system, code] of [
  ['ENOSPC', 'ERR_DISK_FULL'],
  ['EDQUOT', 'ERR_DISK_FULL'],
  ['EIO', 'ERR_IO'],
  ['EROFS', 'ERR_IO'],
] as const) {
  test(`${system} at any call leaves old or new, says which, and leaves no temporary`, async (t) => {
    for (const publish of [replaceFile, createFile]) {
      for (let failing = 0; failing < 7; failing += 1) {
        const directory = await temporaryDirectory(t)
        const path = `${directory}/file`
        if (publish === replaceFile) await fs.writeFile(path, old)
        let failed = ''
        const disk = failingDisk(systemDisk, {
          code: system,
          fails: (call, index) => {
            if (index === failing) failed = call.name
            return index === failing
          },
        })
        const outcome = await publish(path, fresh, { disk, random, mode: 0o600 }).then(
          () => undefined,
          (error: unknown) => error,
        )
        const content = await fs.readFile(path, 'utf8').catch(() => 'old')
        if (failed === 'unlink' || failed === '') {
          t.is(outcome, undefined, `${failed}: not needed for success`)
          t.is(content, 'new')
        } else {
          t.like(outcome, { code }, failed)
          const inEffect = isLatchkeyError(outcome) && outcome.message.includes('is in effect')
          t.is(content, inEffect ? 'new' : 'old', failed)
          t.is(inEffect, failed === 'syncDirectory', failed)
        }
        const left = (await fs.readdir(directory)).filter((name) => name !== 'file')
        t.is(left.length, failed === 'unlink' ? 1 : 0, failed)
      }
    }
  })
}

test('a file system without hard links is named as the reason', async (t) => {
  const directory = await temporaryDirectory(t)
  const disk = failingDisk(systemDisk, { code: 'EPERM', fails: ({ name }) => name === 'link' })
  const error = await t.throwsAsync(
    createFile(`${directory}/file`, fresh, { disk, random, mode: 0o600 }),
  )
  t.like(error, { code: 'ERR_IO' })
  t.true(isLatchkeyError(error) && error.hint?.includes('local file system'))
  t.regex(error.message, /makes no hard links/)
})

test('directories are made with their mode, each synced into the one above', async (t) => {
  const directory = await temporaryDirectory(t)
  const { disk, calls } = recordedDisk(systemDisk)
  await makeDirectories(`${directory}/a/b/c`, { disk, mode: 0o700 })
  t.is((await fs.stat(`${directory}/a/b/c`)).mode & 0o777, 0o700)
  t.deepEqual(
    calls.map(({ name, path }) => `${name} ${path.slice(directory.length)}`),
    [
      `syncDirectory ${calls[0]?.path.slice(directory.length)}`,
      'mkdir /a',
      'syncDirectory ',
      'mkdir /a/b',
      'syncDirectory /a',
      'mkdir /a/b/c',
      'syncDirectory /a/b',
    ],
  )
})

test('a directory that is there already is synced into the one above, as it may be just made', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.mkdir(`${directory}/a`)
  const { disk, calls } = recordedDisk(systemDisk)
  await makeDirectories(`${directory}/a`, { disk, mode: 0o700 })
  t.deepEqual(calls, [{ name: 'syncDirectory', path: directory }])
})

test('a directory that appears meanwhile is as good as one of ours', async (t) => {
  const directory = await temporaryDirectory(t)
  const disk = hookedDisk(systemDisk, async (call, run) => {
    if (call.name === 'mkdir') await fs.mkdir(call.path)
    await run()
  })
  await makeDirectories(`${directory}/a/b`, { disk, mode: 0o700 })
  t.true((await fs.stat(`${directory}/a/b`)).isDirectory())
})

test('where no directory can be made the call ends with an error', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/file`, '')
  const make = (path: string): Promise<void> =>
    makeDirectories(path, { disk: systemDisk, mode: 0o700 })
  await t.throwsAsync(make(`${directory}/file`), { code: 'ERR_IO', message: /is not a directory/ })
  await t.throwsAsync(make(`${directory}/file/below`), { code: 'ERR_IO', message: /ENOTDIR/ })
  // mkdir(2) in /proc says ENOENT although the parent is there.
  await t.throwsAsync(make('/proc/latchkey/below'), { code: 'ERR_IO' })
})

for (const code of ['EACCES', 'EROFS'] as const) {
  test(`a parent that is not ours to sync (${code}) is left to its owner`, async (t) => {
    const directory = await temporaryDirectory(t)
    const disk = failingDisk(systemDisk, { code, fails: ({ name }) => name === 'syncDirectory' })
    await t.notThrowsAsync(makeDirectories(directory, { disk, mode: 0o700 }))
    await t.throwsAsync(makeDirectories(`${directory}/a`, { disk, mode: 0o700 }), {
      code: 'ERR_IO',
    })
  })
}

test('a failed call becomes a code, names the path and keeps the system error as cause', (t) => {
  const cause = systemError('EACCES')
  const error = diskError(cause, '/keyring')
  t.like(error, { code: 'ERR_IO', message: '/keyring: EACCES', cause })
  t.regex(error.hint ?? '', /as the user that owns it/)
  t.is(diskError(error, '/other'), error)
  t.is(diskError(new Error('odd'), '/keyring').message, '/keyring: unknown error')
})
