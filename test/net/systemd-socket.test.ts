import test, { type ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, lstat, unlink } from 'node:fs/promises'
import * as net from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { onlyPassedSocket, passedSockets } from '../../src/net/systemd-socket.ts'
import { greetingAt, socketDirectory } from '../support/listening.ts'

const child = fileURLToPath(new URL('../support/adopt-child.ts', import.meta.url))

test('sockets are passed when LISTEN_PID is us', (t) => {
  t.deepEqual(passedSockets({}, 7), [])
  t.deepEqual(passedSockets({ LISTEN_FDS: '1', LISTEN_PID: '8' }, 7), [])
  t.deepEqual(passedSockets({ LISTEN_FDS: '1' }, 7), [])
  t.deepEqual(passedSockets({ LISTEN_FDS: '0', LISTEN_PID: '7' }, 7), [])
  t.deepEqual(passedSockets({ LISTEN_FDS: '2', LISTEN_PID: '7', LISTEN_FDNAMES: 'kms:x' }, 7), [
    { fd: 3, name: 'kms' },
    { fd: 4, name: 'x' },
  ])
  for (const LISTEN_FDS of ['', '-1', '17', '999', 'many', '1.5']) {
    t.throws(() => passedSockets({ LISTEN_FDS, LISTEN_PID: '7' }, 7), {
      code: 'ERR_CONFIG_INVALID',
    })
  }
})

test('several sockets are too many', (t) => {
  const one = { fd: 3, name: undefined }
  t.is(onlyPassedSocket([]), undefined)
  t.is(onlyPassedSocket([one]), one)
  t.throws(() => onlyPassedSocket([one, one]), { code: 'ERR_CONFIG_INVALID' })
})

interface Handle {
  readonly fd: number
  close(): void
}

/** A socket that is bound and that nobody accepts on, which is what a service manager holds. */
function bindOnly(address: string | number): Handle {
  const { _createServerHandle: create } = net as unknown as {
    _createServerHandle: (address: string, port: number, type: number) => Handle | number
  }
  const former = process.umask(0o177)
  const handle =
    typeof address === 'number' ? create('127.0.0.1', address, 4) : create(address, -1, -1)
  process.umask(former)
  if (typeof handle === 'number') throw new Error(`cannot bind: ${handle}`)
  return handle
}

/** Starts services with one socket as descriptor 3, as a service manager does. */
function passing(t: ExecutionContext, address: string | number) {
  const handle = bindOnly(address)
  t.teardown(() => {
    handle.close()
  })
  return async (...args: string[]) => {
    const script = 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kms exec "$0" "$@"'
    const service = spawn('/bin/sh', ['-c', script, process.execPath, child, ...args], {
      stdio: ['ignore', 'ignore', 'inherit', handle.fd, 'ipc'],
    })
    t.teardown(() => service.kill('SIGKILL'))
    const [message] = (await once(service, 'message')) as [string]
    return { service, message }
  }
}

test('a passed socket outlives its services, and clients wait between them', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const start = passing(t, path)
  const first = await start('first')
  t.is(first.message, `listening on ${path}`)
  t.is(await greetingAt(path), 'first')
  first.service.send('stop')
  await once(first.service, 'exit')
  t.true((await lstat(path)).isSocket(), 'the path is the manager’s and stays')
  const waiting = Array.from({ length: 10 }, () => greetingAt(path))
  await sleep(20)
  t.is((await start('second')).message, `listening on ${path}`)
  t.deepEqual(
    await Promise.all(waiting),
    Array.from({ length: 10 }, () => 'second'),
  )
})

for (const [what, address] of [
  ['a TCP socket', 0],
  ['an abstract socket', `\0latchkey-test-${process.pid}`],
] as const) {
  test(`${what} is refused`, async (t) => {
    const start = passing(t, address)
    t.is((await start('x')).message, 'ERR_SOCKET_PATH')
  })
}

test('another path than the expected one is refused, the expected one is not', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const start = passing(t, path)
  await chmod(path, 0o660)
  t.is((await start('x', `${path}2`)).message, 'ERR_SOCKET_PATH')
  t.is((await start('x', path)).message, `listening on ${path}`)
})

test('a socket that everybody may connect to is refused', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const start = passing(t, path)
  await chmod(path, 0o666)
  t.is((await start('x')).message, 'ERR_SOCKET_UNSAFE')
})

test('a socket in a directory of everybody is refused, and one whose path is gone', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  const start = passing(t, path)
  await chmod(directory, 0o777)
  t.is((await start('x')).message, 'ERR_SOCKET_UNSAFE')
  await chmod(directory, 0o700)
  await unlink(path)
  t.is((await start('x')).message, 'ERR_SOCKET_PATH')
})
