import test, { type ExecutionContext } from 'ava'
import { execFile } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { promisify } from 'node:util'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { systemDisk, type Disk } from '../../../src/clients/disk.ts'
import type { RootKey } from '../../../src/keyring/root.ts'
import { openRoot, readPassphrase, type RootDeps } from '../../../src/keyring/roots/open.ts'
import { parseRootSpec } from '../../../src/keyring/roots/spec.ts'
import { failingDisk, recordedDisk } from '../../support/hooked-disk.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

interface Opened extends RootDeps {
  readonly warned: string[]
}

async function context(t: ExecutionContext, disk: Disk = systemDisk): Promise<Opened> {
  const cwd = await temporaryDirectory(t)
  const warned: string[] = []
  return {
    disk,
    random: createRandomPool(),
    uid: process.getuid?.() ?? 0,
    cwd,
    credentialsDirectory: `${cwd}/credentials`,
    warn: (line) => warned.push(line),
    warned,
  }
}

/** Whether two roots are the same one. */
async function same(one: RootKey, other: RootKey): Promise<boolean> {
  const secret = SecretBytes.copyOf(Buffer.alloc(32, 7))
  const slot = await one.wrap(secret, Buffer.from('x'))
  return (await other.unwrap(slot, Buffer.from('x'))) !== undefined
}

test('a root file is made with 32 random bytes for its owner alone, and opened again', async (t) => {
  const deps = await context(t)
  const made = await openRoot('file:deep/er/root', deps, { create: true })
  const path = `${deps.cwd}/deep/er/root`
  const stat = await fs.stat(path)
  t.is(stat.size, 32)
  t.is(stat.mode & 0o777, 0o400)
  t.is(stat.nlink, 1)
  t.is((await fs.stat(`${deps.cwd}/deep`)).mode & 0o777, 0o700)
  t.true(await same(made, await openRoot(`file:${path}`, deps)))
  t.true(await same(made, await openRoot('file:deep/er/root', deps, { create: true })))
  const other = await openRoot('file:other', deps, { create: true })
  t.false(await same(made, other))
  t.deepEqual(await fs.readdir(deps.cwd), ['deep', 'other'])
})

test('a root file, and the directories above it, are durable before the root is used', async (t) => {
  const { disk, calls } = recordedDisk(systemDisk)
  const deps = await context(t, disk)
  await openRoot('file:a/b/root', deps, { create: true })
  const synced = calls.flatMap(({ name, path }) =>
    name === 'syncDirectory' ? [path.slice(deps.cwd.length)] : [],
  )
  t.true(
    ['', '/a', '/a/b'].every((path) => synced.includes(path)),
    synced.join(' '),
  )
  calls.length = 0
  await openRoot('file:a/b/root', deps, { create: true })
  t.true(calls.some(({ name, path }) => name === 'syncDirectory' && path.endsWith('/a/b')))
})

test('of many who make one root all get the same', async (t) => {
  const deps = await context(t)
  const roots = await Promise.all(
    Array.from({ length: 8 }, () => openRoot('file:root', deps, { create: true })),
  )
  const [first] = roots
  for (const root of roots) t.true(first !== undefined && (await same(first, root)))
  t.deepEqual(await fs.readdir(deps.cwd), ['root'])
})

test('the second name that a killed command has left of a root is removed', async (t) => {
  const deps = await context(t)
  await openRoot('file:root', deps, { create: true })
  await fs.link(`${deps.cwd}/root`, `${deps.cwd}/.tmp-AAAAAAAAAAAAAAAA`)
  await fs.link(`${deps.cwd}/root`, `${deps.cwd}/kept-by-hand`)
  await fs.writeFile(`${deps.cwd}/.tmp-other`, 'another file')
  await openRoot('file:root', deps, { create: true })
  t.deepEqual((await fs.readdir(deps.cwd)).sort(), ['.tmp-other', 'kept-by-hand', 'root'])
})

test('a root on a medium that is not ours to write is used as it is', async (t) => {
  const deps = await context(t)
  const made = await openRoot('file:root', deps, { create: true })
  const disk = failingDisk(systemDisk, { code: 'EROFS', fails: () => true })
  t.true(await same(made, await openRoot('file:root', { ...deps, disk }, { create: true })))
  await t.throwsAsync(openRoot('file:new', { ...deps, disk }, { create: true }), {
    code: 'ERR_IO',
  })
})

test('a full disk leaves no root and no half of one', async (t) => {
  const deps = await context(t)
  for (let failing = 1; failing < 5; failing += 1) {
    const disk = failingDisk(systemDisk, { code: 'ENOSPC', fails: (_, index) => index === failing })
    await t.throwsAsync(openRoot('file:root', { ...deps, disk }, { create: true }), {
      code: 'ERR_DISK_FULL',
    })
    t.deepEqual(await fs.readdir(deps.cwd), [])
  }
})

test('a root that is not there is never made unasked', async (t) => {
  const deps = await context(t)
  for (const spec of ['file:root', 'passphrase:p', 'file:credential:root']) {
    await t.throwsAsync(openRoot(spec, deps), { code: 'ERR_ROOT_NOT_FOUND' })
  }
  await t.throwsAsync(openRoot('passphrase:p', deps, { create: true }), {
    code: 'ERR_ROOT_NOT_FOUND',
  })
  t.deepEqual(await fs.readdir(deps.cwd), [])
})

for (const size of [0, 1, 31, 33, 64, 4097]) {
  test(`a root file of ${size} bytes is none`, async (t) => {
    const deps = await context(t)
    await fs.writeFile(`${deps.cwd}/root`, Buffer.alloc(size), { mode: 0o400 })
    await t.throwsAsync(openRoot('file:root', deps), { code: 'ERR_ROOT_INVALID' })
  })
}

for (const mode of [0o440, 0o404, 0o420, 0o402]) {
  test(`a root file of mode 0${mode.toString(8)} is unsafe until chmod has mended it`, async (t) => {
    const deps = await context(t)
    const path = `${deps.cwd}/root`
    await openRoot('file:root', deps, { create: true })
    await fs.chmod(path, mode)
    const error = await t.throwsAsync(openRoot('file:root', deps), { code: 'ERR_ROOT_UNSAFE' })
    const hint = isLatchkeyError(error) ? (error.hint ?? '') : ''
    t.is(hint, `chmod 0400 ${path}`)
    await promisify(execFile)('sh', ['-c', hint])
    await t.notThrowsAsync(openRoot('file:root', deps))
  })
}

test('a root of another user is unsafe', async (t) => {
  const deps = await context(t)
  await openRoot('file:root', deps, { create: true })
  if (deps.uid === 0) {
    await fs.chown(`${deps.cwd}/root`, 12_345, 12_345)
    await t.throwsAsync(openRoot('file:root', deps), { code: 'ERR_ROOT_UNSAFE' })
  } else {
    await t.throwsAsync(openRoot('file:root', { ...deps, uid: deps.uid + 1 }), {
      code: 'ERR_ROOT_UNSAFE',
    })
  }
})

test('a credential may be readable by its group, as systemd leaves it, and by nobody else', async (t) => {
  const deps = await context(t)
  const path = `${deps.cwd}/credentials/root`
  await openRoot('file:credentials/root', deps, { create: true })
  await fs.chmod(path, 0o440)
  await t.notThrowsAsync(openRoot('file:credential:root', deps))
  for (const mode of [0o444, 0o460]) {
    await fs.chmod(path, mode)
    await t.throwsAsync(openRoot('file:credential:root', deps), { code: 'ERR_ROOT_UNSAFE' })
  }
  await t.throwsAsync(
    openRoot('file:credential:root', { ...deps, credentialsDirectory: undefined }),
    { code: 'ERR_ROOT_NOT_FOUND', message: 'no systemd credentials were passed' },
  )
  await openRoot('file:credential:none', deps, { create: true }).catch(() => undefined)
  t.deepEqual(await fs.readdir(`${deps.cwd}/credentials`), ['root'], 'credentials are not made')
})

/** What is taken as the passphrase out of a file of this content. */
async function passphraseIn(deps: Opened, content: string | Uint8Array): Promise<string> {
  await fs.writeFile(`${deps.cwd}/p`, content, { mode: 0o600 })
  using read = await readPassphrase(parseRootSpec('passphrase:p'), deps)
  return Buffer.from(read.expose()).toString('latin1')
}

for (const [content, passphrase] of [
  ['hunter2', 'hunter2'],
  ['hunter2\n', 'hunter2'],
  ['hunter2\r\n', 'hunter2'],
  ['hunter2\n\n', 'hunter2\n'],
  ['hunter2\r', 'hunter2\r'],
  [' two words ', ' two words '],
  ['\r', '\r'],
  ['\n\n', '\n'],
  ['\0\x01', '\0\x01'],
] as const) {
  test(`the file ${JSON.stringify(content)} holds the passphrase ${JSON.stringify(passphrase)}`, async (t) => {
    t.is(await passphraseIn(await context(t), content), passphrase)
  })
}

test('a passphrase has 1 to 4096 bytes', async (t) => {
  const deps = await context(t)
  t.is((await passphraseIn(deps, 'x'.repeat(4096))).length, 4096)
  for (const content of ['', '\n', '\r\n', 'x'.repeat(4097)]) {
    await t.throwsAsync(passphraseIn(deps, content), { code: 'ERR_ROOT_INVALID' })
  }
})

test('a passphrase file that others may read is told, one that they may write is refused', async (t) => {
  const deps = await context(t)
  const path = `${deps.cwd}/p`
  await fs.writeFile(path, 'hunter2')
  await fs.chmod(path, 0o644)
  const root = await openRoot('passphrase:p', deps)
  t.is(root.type, 'passphrase')
  t.deepEqual(deps.warned, [`passphrase file ${path} can be read by others: chmod 0600 ${path}`])
  await fs.chmod(path, 0o662)
  await t.throwsAsync(openRoot('passphrase:p', deps), { code: 'ERR_ROOT_UNSAFE' })
})

test('a passphrase comes from a descriptor: a file, or a pipe in pieces', async (t) => {
  const deps = await context(t)
  await fs.writeFile(`${deps.cwd}/p`, 'hunter2\n', { mode: 0o600 })
  const descriptor = openSync(`${deps.cwd}/p`, 'r')
  const read = await readPassphrase(parseRootSpec(`passphrase:fd:${descriptor}`), deps)
  t.is(Buffer.from(read.expose()).toString(), 'hunter2')
  t.notThrows(() => {
    closeSync(descriptor)
  }, "it is still its opener's to close")

  const pipe = `${deps.cwd}/pipe`
  await promisify(execFile)('mkfifo', [pipe])
  const writer = promisify(execFile)('sh', [
    '-c',
    `exec >"$1"; printf hun; sleep 0.1; printf ter; sleep 0.1; printf '2\\n'`,
    'sh',
    pipe,
  ])
  const opened = openSync(pipe, 'r')
  const piped = await readPassphrase(parseRootSpec(`passphrase:fd:${opened}`), deps)
  closeSync(opened)
  await writer
  t.is(Buffer.from(piped.expose()).toString(), 'hunter2')
})

test('a descriptor that is closed, empty or too long is refused', async (t) => {
  const deps = await context(t)
  const read = async (content: string): Promise<unknown> => {
    await fs.writeFile(`${deps.cwd}/p`, content, { mode: 0o600 })
    const descriptor = openSync(`${deps.cwd}/p`, 'r')
    try {
      return await openRoot(`passphrase:fd:${descriptor}`, deps)
    } finally {
      closeSync(descriptor)
    }
  }
  await t.throwsAsync(read(''), { code: 'ERR_ROOT_INVALID' })
  await t.throwsAsync(read('x'.repeat(4097)), { code: 'ERR_ROOT_INVALID' })
  await t.notThrowsAsync(read('x'.repeat(4096)))
  await t.throwsAsync(openRoot('passphrase:fd:99999', deps), {
    code: 'ERR_ROOT_NOT_FOUND',
    message: 'descriptor 99999 cannot be read',
  })
})

test('too little memory for argon2id is told as such', async (t) => {
  const script = `
    import { SecretBytes } from './src/base/secret.ts'
    import { passphraseRoot } from './src/keyring/roots/passphrase.ts'
    const root = passphraseRoot(SecretBytes.copyOf(Buffer.from('x')), {
      random: (length) => new Uint8Array(length),
      cost: { memoryKiB: 1048576, passes: 1, parallelism: 1 },
    })
    await root.wrap(SecretBytes.copyOf(Buffer.alloc(32)), Buffer.from('x')).then(
      () => console.log('wrapped'),
      (error) => console.log(error.code, error.hint),
    )`
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-c', 'ulimit -d 700000; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { cwd: new URL('../../..', import.meta.url) },
  )
  t.is(
    stdout.trim(),
    'ERR_ROOT_UNAVAILABLE argon2id needs 1024 MiB of memory here: free some and try again',
  )
})
