import test from 'ava'
import { execFile } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { promisify } from 'node:util'
import {
  checkGuard,
  readGuardedFile,
  readUpTo,
  type Guard,
} from '../../src/clients/guarded-file.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const uid = process.getuid?.() ?? 0
const secret: Guard = {
  uid,
  forbiddenMode: 0o077,
  title: 'root file',
  code: 'ERR_ROOT_UNSAFE',
  maxBytes: 100,
  oversizeCode: 'ERR_ROOT_INVALID',
}

for (const size of [0, 1, 99, 100]) {
  test(`a file of ${size} bytes is read whole`, async (t) => {
    const path = `${await temporaryDirectory(t)}/file`
    await fs.writeFile(path, Buffer.alloc(size, 7), { mode: 0o400 })
    t.deepEqual(await readGuardedFile(path, secret), new Uint8Array(size).fill(7))
  })
}

test('a file that is not there is no error', async (t) => {
  t.is(await readGuardedFile(`${await temporaryDirectory(t)}/file`, secret), undefined)
})

test('a file above the limit is refused with the code for that', async (t) => {
  const path = `${await temporaryDirectory(t)}/file`
  await fs.writeFile(path, Buffer.alloc(101), { mode: 0o400 })
  await t.throwsAsync(readGuardedFile(path, secret), {
    code: 'ERR_ROOT_INVALID',
    message: /has more than 100 bytes/,
  })
  const { oversizeCode: _, ...plain } = secret
  await t.throwsAsync(readGuardedFile(path, plain), { code: 'ERR_ROOT_UNSAFE' })
})

for (const [mode, who, remedy] of [
  [0o440, 'its group may read it', '0400'],
  [0o604, 'everybody may read it', '0600'],
  [0o620, 'its group may write it', '0600'],
  [0o777, 'everybody may write it', '0700'],
] as const) {
  test(`mode 0${mode.toString(8)} is too much for a secret, and chmod ${remedy} mends it`, async (t) => {
    const path = `${await temporaryDirectory(t)}/file`
    await fs.writeFile(path, 'x')
    await fs.chmod(path, mode)
    const error = await t.throwsAsync(readGuardedFile(path, secret), { code: 'ERR_ROOT_UNSAFE' })
    t.true(error.message.endsWith(who), error.message)
    t.like(error, { hint: `chmod ${remedy} ${path}` })
    await promisify(execFile)('chmod', [remedy, path])
    t.deepEqual(await readGuardedFile(path, secret), new Uint8Array(Buffer.from('x')))
  })
}

test('a file of another user is refused, one of root is not', (t) => {
  const stat = (owner: number) => ({ uid: owner, mode: 0o100400 })
  const guard = { ...secret, uid: 1000 }
  t.notThrows(() => {
    checkGuard(stat(0), '/file', guard)
    checkGuard(stat(1000), '/file', guard)
  })
  const error = t.throws(
    () => {
      checkGuard(stat(1001), '/file', guard)
    },
    { code: 'ERR_ROOT_UNSAFE', message: 'root file /file belongs to user 1001' },
  )
  t.like(error, { hint: 'run this as user 1001, or give it to user 1000: chown 1000 /file' })
})

test('a directory, a device and a pipe that nobody writes are refused at once', async (t) => {
  const directory = await temporaryDirectory(t)
  const pipe = `${directory}/pipe`
  await promisify(execFile)('mkfifo', ['-m', '0400', pipe])
  for (const path of [directory, '/dev/null', pipe]) {
    await t.throwsAsync(readGuardedFile(path, secret), {
      code: 'ERR_ROOT_UNSAFE',
      message: /is not a regular file/,
    })
  }
})

test('a link is followed, and what it leads to is checked', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/file`, 'x', { mode: 0o400 })
  await fs.symlink('file', `${directory}/link`)
  await fs.symlink('nowhere', `${directory}/dangling`)
  t.deepEqual(await readGuardedFile(`${directory}/link`, secret), new Uint8Array([0x78]))
  t.is(await readGuardedFile(`${directory}/dangling`, secret), undefined)
  await fs.chmod(`${directory}/file`, 0o444)
  await t.throwsAsync(readGuardedFile(`${directory}/link`, secret), { code: 'ERR_ROOT_UNSAFE' })
})

test('a part of the path that is a file is an error, not an absence', async (t) => {
  const directory = await temporaryDirectory(t)
  await fs.writeFile(`${directory}/file`, 'x')
  await t.throwsAsync(readGuardedFile(`${directory}/file/below`, secret), {
    code: 'ERR_IO',
    message: /ENOTDIR/,
  })
})

for (const expectedBytes of [0, 5, 10, 1000]) {
  for (const step of [1, 3, 1000]) {
    test(`reading ends at the end: expected ${expectedBytes}, ${step} at a time`, async (t) => {
      for (const length of [0, 1, 9, 10, 11, 30]) {
        const buffers: Uint8Array[] = []
        let left = length
        const bytes = await readUpTo(10, {
          expectedBytes,
          read: async (into) => {
            buffers.push(into)
            const count = Math.min(step, left, into.byteLength)
            into.fill(7, 0, count)
            left -= count
            return count
          },
        })
        t.deepEqual(bytes, length > 10 ? undefined : new Uint8Array(length).fill(7))
        t.true(
          buffers.every((buffer) => buffer.every((byte) => byte === 0)),
          'every array that was read into is wiped',
        )
      }
    })
  }
}
