import test from 'ava'
import { chmod, writeFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createServiceManager,
  notifyBySystemd,
  type Notify,
} from '../../src/net/service-manager.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

function managed(environment: Record<string, string>, notify?: Notify) {
  const told: (readonly string[])[] = []
  const errors: unknown[] = []
  const waits: number[] = []
  const stop = new AbortController()
  const manager = createServiceManager({
    environment,
    pid: 42,
    notify: notify ?? (async (lines) => void told.push(lines)),
    monotonicUs: () => 123_456n,
    sleep: async (ms) => {
      waits.push(ms)
      if (waits.length === 3) stop.abort()
    },
    onError: (error) => errors.push(error),
  })
  return { manager, told, errors, waits, signal: stop.signal }
}

test('nothing is sent where no service manager asked', async (t) => {
  const { manager, told, waits, signal } = managed({ WATCHDOG_USEC: '1000000' })
  await manager.ready('x')
  await manager.stopping()
  await manager.watchdog(signal)
  t.deepEqual(told, [])
  t.deepEqual(waits, [])
})

test('states are told in order, with one status line each', async (t) => {
  const { manager, told } = managed({ NOTIFY_SOCKET: '/run/systemd/notify' })
  void manager.reloading()
  void manager.ready('serving\nREADY=0')
  void manager.status('still')
  await manager.stopping()
  t.deepEqual(told, [
    ['RELOADING=1', 'MONOTONIC_USEC=123456'],
    ['READY=1', 'STATUS=serving READY=0'],
    ['STATUS=still'],
    ['STOPPING=1'],
  ])
})

test('a failed message is reported and the next one is sent', async (t) => {
  let calls = 0
  const { manager, errors } = managed({ NOTIFY_SOCKET: 'x' }, async () => {
    calls += 1
    if (calls === 1) throw new Error('no')
  })
  await manager.ready('x')
  await manager.stopping()
  t.is(calls, 2)
  t.like(errors, [{ message: 'no' }])
})

test('the watchdog is fed twice per interval, if it is ours', async (t) => {
  const ours = managed({ NOTIFY_SOCKET: 'x', WATCHDOG_USEC: '20000000', WATCHDOG_PID: '42' })
  await ours.manager.watchdog(ours.signal)
  t.deepEqual(ours.waits, [10_000, 10_000, 10_000])
  t.is(ours.told.filter(([line]) => line === 'WATCHDOG=1').length, 3)
  for (const environment of [
    { WATCHDOG_USEC: '20000000', WATCHDOG_PID: '43' },
    { WATCHDOG_USEC: '0' },
    { WATCHDOG_USEC: 'soon' },
    {},
  ]) {
    const other = managed({ NOTIFY_SOCKET: 'x', ...environment })
    await other.manager.watchdog(other.signal)
    t.deepEqual(other.told, [])
  }
})

test('systemd-notify is run with the lines and nothing else of our environment', async (t) => {
  const directory = await temporaryDirectory(t)
  const record = join(directory, 'record')
  const program = join(directory, 'systemd-notify')
  await writeFile(program, `#!/bin/sh\n{ printf '%s\\n' "$@"; export -p; } > ${record}\n`)
  await chmod(program, 0o755)
  const PATH = `${directory}:${process.env['PATH'] ?? ''}`
  await notifyBySystemd({ PATH, NOTIFY_SOCKET: '/n', LISTEN_FDS: '1', MARK: 'no' })([
    'READY=1',
    'STATUS=all is well',
  ])
  const text = await readFile(record, 'utf8')
  t.true(text.startsWith('READY=1\nSTATUS=all is well\n'))
  t.regex(text, /NOTIFY_SOCKET='?\/n/)
  t.notRegex(text, /LISTEN_FDS|MARK/)
})

test('a missing or failing systemd-notify is ERR_IO with the remedy', async (t) => {
  const directory = await temporaryDirectory(t)
  const notify = notifyBySystemd({ PATH: directory, NOTIFY_SOCKET: '/n' })
  const error = await t.throwsAsync(notify(['READY=1']), { code: 'ERR_IO' })
  t.regex((error as unknown as { hint: string }).hint, /NotifyAccess=all/)
  await writeFile(join(directory, 'systemd-notify'), '#!/bin/sh\nexit 3\n')
  await chmod(join(directory, 'systemd-notify'), 0o755)
  await t.throwsAsync(notify(['READY=1']), { code: 'ERR_IO' })
})
