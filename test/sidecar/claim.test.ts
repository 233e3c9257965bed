import test, { type ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { listenUnix } from '../../src/net/unix-listener.ts'
import { claimState, type ClaimDeps, type StateClaim } from '../../src/sidecar/claim.ts'
import { temporaryDirectory } from '../support/publishing.ts'

interface Claiming {
  readonly claim: Promise<StateClaim | undefined>
  readonly waited: () => number
}

function claiming(directory: string, deps: Partial<ClaimDeps> = {}): Claiming {
  let waits = 0
  const claim = claimState(directory, {
    listen,
    clock: fastClock(),
    signal: new AbortController().signal,
    onWait: () => (waits += 1),
    ...deps,
  })
  return { claim, waited: () => waits }
}

const listen = (
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<{ stop(): Promise<void> }> =>
  listenUnix(path, {
    onConnection,
    onError: () => undefined,
    identity: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    umask: (mask) => process.umask(mask),
    now: () => Date.now(),
  })

/** A clock on which a sleep takes a turn of the event loop. */
function fastClock(): Clock {
  let ms = 0
  return {
    now: () => ms,
    monotonicMs: () => ms,
    sleep: async (sleepMs) => {
      await nextTurn()
      ms += sleepMs
    },
  }
}

function stateDirectory(t: ExecutionContext): string {
  const directory = join(temporaryDirectory(t), 'state')
  fs.mkdirSync(directory, { mode: 0o700 })
  return directory
}

test.serial('a second sidecar is refused while the first lives, and not after', async (t) => {
  const directory = stateDirectory(t)
  const first = await claiming(directory).claim
  const second = claiming(directory)
  await t.throwsAsync(second.claim, { code: 'ERR_BUSY', message: /another latchkey-sidecar/ })
  t.is(second.waited(), 1)
  await first?.release()
  t.deepEqual(fs.readdirSync(directory), [])
  const third = await claiming(directory).claim
  t.truthy(third)
  await third?.release()
})

test.serial('it waits for a sidecar that is about to stop', async (t) => {
  const directory = stateDirectory(t)
  const first = await claiming(directory).claim
  const next = claiming(directory, { onWait: () => void first?.release() })
  const claim = await next.claim
  t.truthy(claim)
  await claim?.release()
})

test.serial('what a killed sidecar left is in nobody’s way', async (t) => {
  const directory = stateDirectory(t)
  const path = join(directory, 'lock')
  const script = `require('net').createServer().listen(${JSON.stringify(path)},()=>console.log())`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
  t.true(fs.existsSync(path))
  const claim = await claiming(directory).claim
  t.truthy(claim)
  await claim?.release()
})

test.serial('nor is one that answers nobody, or something else', async (t) => {
  for (const answer of [undefined, 'something else, and more of it\n']) {
    const directory = stateDirectory(t)
    const open = new Set<Socket>()
    const server = createServer((socket) => {
      open.add(socket)
      socket.on('error', () => undefined)
      if (answer === undefined) socket.destroy()
      else socket.end(answer)
    }).listen(join(directory, 'lock'))
    await once(server, 'listening')
    t.is(await claiming(directory).claim, undefined)
    for (const socket of open) socket.destroy()
    server.close()
  }
})

test.serial('where there can be no lock, nothing is claimed and nothing refused', async (t) => {
  const shared = stateDirectory(t)
  fs.chmodSync(shared, 0o777)
  t.is(await claiming(shared).claim, undefined)
  t.is(await claiming(join(shared, 'x'.repeat(120))).claim, undefined)
  const listen = (): Promise<never> => Promise.reject(new LatchkeyError('ERR_IO', 'no sockets'))
  t.is(await claiming(stateDirectory(t), { listen }).claim, undefined)
  const signal = AbortSignal.abort()
  t.is(await claiming(stateDirectory(t), { signal }).claim, undefined)
})
