import test from 'ava'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, renameSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { listenUnix } from '../../src/net/unix-listener.ts'
import {
  greetingAt,
  listening,
  listenOptions,
  ourIdentity,
  socketDirectory,
} from '../support/listening.ts'

const child = new URL('../support/listen-child.ts', import.meta.url)

test('the socket is reachable, has mode 0600 whatever the umask, and leaves nothing beside it', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  const former = process.umask(0)
  t.teardown(() => process.umask(former))
  const listener = await listening(t, path)
  t.is(process.umask(0), 0, 'the umask is put back')
  t.is((await fs.lstat(path)).mode & 0o777, 0o600)
  t.is(await greetingAt(path), 'hello')
  t.deepEqual(await fs.readdir(directory), ['kms.sock'])
  await listener.stop()
  t.deepEqual(await fs.readdir(directory), [])
  t.is(await greetingAt(path), 'ENOENT')
})

test('with a group the mode is 0660 and the group owns the socket', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  await listening(t, path, { groupId: ourIdentity.gid })
  const stat = await fs.lstat(path)
  t.is(stat.mode & 0o777, 0o660)
  t.is(stat.gid, ourIdentity.gid)
  t.is(stat.uid, ourIdentity.uid)
})

test('a live peer on the path is an error and is not disturbed', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  await listening(t, path)
  const error = await t.throwsAsync(listenUnix(path, listenOptions({ greeting: 'other' })), {
    code: 'ERR_SOCKET_IN_USE',
  })
  t.regex((error as unknown as { hint: string }).hint, /stop the other process/)
  t.is(await greetingAt(path), 'hello')
})

test('a dead socket is replaced', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  await leaveDead(path)
  t.is(await greetingAt(path), 'ECONNREFUSED')
  await listening(t, path)
  t.is(await greetingAt(path), 'hello')
  t.deepEqual(await fs.readdir(directory), ['kms.sock'])
})

for (const [what, make] of [
  ['a file', (path: string) => fs.writeFile(path, 'precious')],
  ['a symbolic link', (path: string) => fs.symlink('elsewhere', path)],
  ['no socket', (path: string) => fs.mkdir(path)],
] as const) {
  test(`${what} in the way is refused and left alone`, async (t) => {
    const directory = await socketDirectory(t)
    const path = join(directory, 'kms.sock')
    await make(path)
    const error = await t.throwsAsync(listenUnix(path, listenOptions()), {
      code: 'ERR_SOCKET_PATH',
    })
    t.true(error.message.includes(what))
    t.deepEqual(await fs.readdir(directory), ['kms.sock'])
  })
}

test('a symbolic link to a dead socket is refused too', async (t) => {
  const directory = await socketDirectory(t)
  await leaveDead(join(directory, 'dead'))
  await fs.symlink('dead', join(directory, 'kms.sock'))
  await t.throwsAsync(listenUnix(join(directory, 'kms.sock'), listenOptions()), {
    code: 'ERR_SOCKET_PATH',
  })
  t.deepEqual((await fs.readdir(directory)).sort(), ['dead', 'kms.sock'])
})

test('missing and unsafe directories are refused', async (t) => {
  const directory = await socketDirectory(t)
  await t.throwsAsync(listenUnix(join(directory, 'no/kms.sock'), listenOptions()), {
    code: 'ERR_SOCKET_PATH',
  })
  await fs.chmod(directory, 0o777)
  await t.throwsAsync(listenUnix(join(directory, 'kms.sock'), listenOptions()), {
    code: 'ERR_SOCKET_UNSAFE',
  })
  t.deepEqual(await fs.readdir(directory), [])
})

test('stopping removes only what is still ours', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const first = await listening(t, path)
  await fs.unlink(path)
  await listening(t, path, { greeting: 'successor' })
  await first.stop()
  t.is(await greetingAt(path), 'successor')
})

test('a path that is already gone does not trouble stopping', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const listener = await listening(t, path)
  await fs.unlink(path)
  await t.notThrowsAsync(listener.stop())
  await fs.writeFile(path, 'somebody’s file')
  await t.notThrowsAsync(listener.stop())
  t.is(await fs.readFile(path, 'utf8'), 'somebody’s file')
})

test('who connected before the stop is still served', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const listener = await listening(t, path)
  const answers = Array.from({ length: 200 }, () => greetingAt(path))
  // Let the connect system calls happen; none has been accepted in this turn of the loop.
  await Promise.resolve()
  await listener.stop()
  const all = await Promise.all(answers)
  t.true(
    all.every((answer) => answer === 'hello'),
    all.join(),
  )
})

test('of many that start at once over a dead socket exactly one wins', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  for (let round = 0; round < 10; round += 1) {
    await leaveDead(path)
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, (_, n) =>
        listenUnix(path, listenOptions({ greeting: `number ${n}` })),
      ),
    )
    const winners = attempts.flatMap((it, n) =>
      it.status === 'fulfilled' ? [{ n, listener: it.value }] : [],
    )
    t.is(winners.length, 1)
    for (const it of attempts) {
      if (it.status === 'rejected') t.like(it.reason, { code: 'ERR_SOCKET_IN_USE' })
    }
    t.is(await greetingAt(path), `number ${winners[0]?.n ?? -1}`)
    t.deepEqual(await fs.readdir(directory), ['kms.sock'])
    await winners[0]?.listener.stop()
    t.deepEqual(await fs.readdir(directory), [])
  }
})

test('who loses the path to another that starts at the same time does not believe to have it', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  const other = join(directory, '.lk-AAAAAAAA')
  const server = createServer().listen(other)
  t.teardown(() => server.close())
  await once(server, 'listening')
  // The other takes the path after it was ours, as one does that had found a dead socket there.
  const now = (): number => {
    if (existsSync(path) && existsSync(other)) renameSync(other, path)
    return Date.now()
  }
  await t.throwsAsync(listenUnix(path, listenOptions({ now })), { code: 'ERR_SOCKET_IN_USE' })
  t.deepEqual(await fs.readdir(directory), ['kms.sock'])
})

test('leftovers of a killed start are swept, young and live ones are not', async (t) => {
  const directory = await socketDirectory(t)
  const [old, young, live] = ['.lk-AAAAAAAA', '.lk-BBBBBBBB', '.lk-CCCCCCCC']
  await leaveDead(join(directory, old))
  await leaveDead(join(directory, young))
  await fs.utimes(join(directory, old), 1, 1)
  const server = createServer().listen(join(directory, live))
  t.teardown(() => server.close())
  await once(server, 'listening')
  await fs.utimes(join(directory, live), 1, 1)
  await fs.writeFile(join(directory, '.lk-DDDDDDDD'), 'a file')
  await listening(t, join(directory, 'kms.sock'))
  t.deepEqual((await fs.readdir(directory)).sort(), [young, live, '.lk-DDDDDDDD', 'kms.sock'])
})

test('processes that are killed and restarted over one path never lose it', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  const start = async (name: string) => {
    const process = fork(child, [path, name], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    t.teardown(() => process.kill('SIGKILL'))
    const [message] = (await once(process, 'message')) as [string]
    return { process, message }
  }
  const first = await start('first')
  t.is(first.message, 'listening')
  t.is((await start('second')).message, 'ERR_SOCKET_IN_USE')
  first.process.kill('SIGKILL')
  await once(first.process, 'exit')
  const [a, b] = await Promise.all([start('a'), start('b')])
  t.deepEqual([a.message, b.message].sort(), ['ERR_SOCKET_IN_USE', 'listening'])
  const [winner, name] = a.message === 'listening' ? [a, 'a'] : [b, 'b']
  t.is(await greetingAt(path), name)
  // The successor starts as soon as the path is free, while the former process is still closing.
  winner.process.send('stop')
  let next = await start('next')
  for (let n = 0; next.message !== 'listening' && n < 20; n += 1) next = await start('next')
  if (winner.process.exitCode === null) await once(winner.process, 'exit')
  await sleep(50)
  t.is(await greetingAt(path), 'next')
})

/** Leaves a socket that nobody listens on, as a killed process does. */
async function leaveDead(path: string): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path}.bound`, resolve))
  await fs.link(`${path}.bound`, path)
  await new Promise((resolve) => server.close(resolve))
  const answer = await new Promise((resolve) => {
    connect(path).on('error', resolve).on('connect', resolve)
  })
  if ((answer as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw new Error('not dead')
}
