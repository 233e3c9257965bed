import test from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { parsePlan } from '../../../src/injection/parse.ts'
import type { MountEntry, SignalName } from '../../../src/injection/plan.ts'
import { hookPerformer } from '../../../src/sidecar/hooks/perform.ts'
import { linuxProcessTable } from '../../../src/sidecar/hooks/process-table.ts'
import type { ProcessFacts, ProcessTable } from '../../../src/sidecar/hooks/signal-hook.ts'
import { systemFileOperations } from '../../../src/sidecar/publish/file-operations.ts'
import { startRecorder } from '../../support/http-recorder.ts'
import { filesOf, publisherAt, temporaryDirectory } from '../../support/publishing.ts'

const entryWith = (onChange: object, rest: object = {}): MountEntry => {
  const entry = { secret: 'db', key: 'a', path: '/etc/app/db/a', onChange, ...rest }
  const [first] = parsePlan(JSON.stringify([entry])).entries
  if (first === undefined) throw new Error('no entry')
  return first
}

const nobody: ProcessTable = { list: () => [], signal: () => undefined }

const perform = async (
  entry: MountEntry,
  options: { root?: string; processes?: ProcessTable; signal?: AbortSignal } = {},
): Promise<void> => {
  const { onChange } = entry
  if (onChange === undefined) throw new Error('no hook')
  const performer = hookPerformer({
    root: options.root ?? '/nowhere',
    operations: systemFileOperations,
    processes: options.processes ?? nobody,
    clock: systemClock,
  })
  await performer(onChange, entry, options.signal ?? new AbortController().signal)
}

test('a call reaches a server in the pod, with method, path and query', async (t) => {
  const server = await startRecorder(t)
  await perform(entryWith({ http: `http://127.0.0.1:${server.port}/-/reload?now=1` }))
  await perform(entryWith({ http: `http://127.0.0.1:${server.port}/x`, method: 'PUT' }))
  t.deepEqual(server.requests, [
    `POST 127.0.0.1:${server.port} /-/reload?now=1`,
    `PUT 127.0.0.1:${server.port} /x`,
  ])
})

test('localhost is called by address, over IPv4 and else over IPv6', async (t) => {
  const four = await startRecorder(t)
  await perform(entryWith({ http: `http://localhost:${four.port}/four` }))
  t.deepEqual(four.requests, [`POST localhost:${four.port} /four`])
  // A port that nobody can listen on over IPv4, as it is at the other end of a connection.
  const taken = connect(four.port, '127.0.0.1')
  t.teardown(() => taken.destroy())
  await once(taken, 'connect')
  const six = await startRecorder(t, '::1', taken.localPort)
  await perform(entryWith({ http: `http://localhost:${six.port}/six` }))
  await perform(entryWith({ http: `http://[::1]:${six.port}/direct` }))
  t.deepEqual(six.requests, [`POST localhost:${six.port} /six`, `POST [::1]:${six.port} /direct`])
})

test('only an answer of the 2xx kind is a success; redirects are not followed', async (t) => {
  const server = await startRecorder(t)
  for (const status of [301, 302, 307, 400, 404, 500, 503]) {
    server.status = status
    await t.throwsAsync(perform(entryWith({ http: `http://127.0.0.1:${server.port}/` })), {
      code: 'ERR_HOOK_FAILED',
      message: new RegExp(`status ${status}$`),
    })
  }
  server.status = 204
  await t.notThrowsAsync(perform(entryWith({ http: `http://127.0.0.1:${server.port}/` })))
  t.is(server.requests.length, 8)
})

test('a port where nobody listens fails, and an aborted call ends', async (t) => {
  await t.throwsAsync(perform(entryWith({ http: 'http://127.0.0.1:1/' })), {
    code: 'ERR_HOOK_FAILED',
  })
  const server = await startRecorder(t)
  server.hold = new Promise(() => undefined)
  const stop = new AbortController()
  const call = perform(entryWith({ http: `http://127.0.0.1:${server.port}/` }), {
    signal: stop.signal,
  })
  setTimeout(() => {
    stop.abort(new Error('stopping'))
  }, 50)
  await t.throwsAsync(call, { message: 'stopping' })
})

test('a touched file is created empty with the entry’s mode, and then only gets a new time', async (t) => {
  const root = temporaryDirectory(t)
  publisherAt(root).publish(filesOf({ a: '1' }))
  const entry = entryWith({ touch: '/etc/app/db/.changed' }, { mode: '0440' })
  const path = join(root, 'etc/app/db/.changed')
  await perform(entry, { root })
  t.is(fs.readFileSync(path, 'utf8'), '')
  t.is(fs.statSync(path).mode & 0o777, 0o440)
  fs.utimesSync(path, 1, 1)
  const { ino } = fs.statSync(path)
  const before = Date.now()
  await perform(entry, { root })
  const after = fs.statSync(path)
  t.is(after.ino, ino)
  t.true(after.mtimeMs >= before - 1000)
})

test('a touch follows no link and fails where there is no directory', async (t) => {
  const root = temporaryDirectory(t)
  const entry = entryWith({ touch: '/etc/app/db/.changed' })
  await t.throwsAsync(perform(entry, { root }), { code: 'ERR_HOOK_FAILED' })
  publisherAt(root).publish(filesOf({ a: '1' }))
  const other = join(temporaryDirectory(t), 'other')
  fs.writeFileSync(other, '')
  fs.utimesSync(other, 1, 1)
  fs.symlinkSync(other, join(root, 'etc/app/db/.changed'))
  await t.throwsAsync(perform(entry, { root }), { code: 'ERR_HOOK_FAILED' })
  t.is(fs.statSync(other).mtimeMs, 1000)
})

const hup = entryWith({ signal: 'SIGHUP', process: 'nginx' })

const table = (processes: readonly ProcessFacts[]): ProcessTable & { sent: string[] } => {
  const sent: string[] = []
  return {
    sent,
    list: () => processes,
    signal: (pid: number, signal: SignalName) => sent.push(`${signal} ${pid}`),
  }
}

test('the eldest process of a name gets the signal, its workers do not', async (t) => {
  const processes = table([
    { pid: 7, parent: 1, names: ['nginx', 'nginx'] },
    { pid: 8, parent: 7, names: ['nginx', 'nginx'] },
    { pid: 9, parent: 7, names: ['nginx', 'nginx'] },
    { pid: 10, parent: 1, names: ['sh', 'sh'] },
    { pid: 11, parent: 10, names: ['nginx', 'nginx'] },
    { pid: 12, parent: 1, names: ['nginx-exporter', 'nginx-exporter'] },
  ])
  await perform(hup, { processes })
  t.deepEqual(processes.sent, ['SIGHUP 7', 'SIGHUP 11'])
})

test('a name that the kernel cut short is still found', async (t) => {
  const processes = table([{ pid: 7, parent: 1, names: ['a-very-long-pro', 'x'] }])
  await perform(entryWith({ signal: 'SIGUSR1', process: 'a-very-long-program' }), { processes })
  t.deepEqual(processes.sent, ['SIGUSR1 7'])
})

test('no process of the name, or one that may not be signalled, is a failure', async (t) => {
  await t.throwsAsync(perform(hup), { code: 'ERR_HOOK_FAILED' })
  const processes = table([{ pid: 7, parent: 1, names: ['nginx'] }])
  processes.signal = () => {
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' })
  }
  await t.throwsAsync(perform(hup, { processes }), { code: 'ERR_HOOK_FAILED' })
})

test('a real process gets a real signal', async (t) => {
  const name = `hooked-${process.pid}`
  const directory = temporaryDirectory(t)
  const program = join(directory, name)
  fs.writeFileSync(
    program,
    '#!/bin/sh\ntrap "exit 42" HUP\necho ready\nwhile :; do sleep 0.05; done\n',
  )
  fs.chmodSync(program, 0o755)
  const child = spawn(program, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const processes = linuxProcessTable({
    uid: process.getuid?.() ?? 0,
    self: process.pid,
    signal: (pid, signal) => process.kill(pid, signal),
  })
  const exited = once(child, 'exit')
  await perform(entryWith({ signal: 'SIGHUP', process: name }), { processes })
  const [code] = (await exited) as [number | null]
  t.is(code, 42)
})
