import test from 'ava'
import { randomBytes } from 'node:crypto'
import { lstat, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LatchkeyError } from '../../src/base/errors.ts'
import { bareConnection, preface } from '../support/grpc-echo.ts'
import { greetingAt, listening, socketDirectory } from '../support/listening.ts'
import { kmsClient } from '../support/kms-client.ts'
import { runningKms } from '../support/running-kms.ts'
import { until } from '../support/until.ts'

const plaintext = randomBytes(32)

test('it serves, tells the service manager, logs, and stops in order', async (t) => {
  const { socket, told, log, get, stop, lab } = await runningKms(t)
  const client = kmsClient(t, socket)
  using keyring = await lab.open()
  t.deepEqual(await client.call('Status'), {
    version: 'v2',
    healthz: 'ok',
    keyId: keyring.active.id,
  })
  t.is(await get('/readyz'), 'ok\n')
  t.is(await get('/livez'), 'ok\n')
  t.regex(await get('/metrics'), /^process_resident_memory_bytes/m)
  t.is((await lstat(socket)).mode & 0o777, 0o600)
  await stop()
  await t.throwsAsync(lstat(socket), { code: 'ENOENT' })
  t.deepEqual(told, ['ready: serving generation 1', 'stopping'])
  t.deepEqual(
    log.lines.filter(({ level }) => level !== 'debug').map(({ event }) => event),
    [
      'kms.endpoint_listening',
      'kms.keyring_loaded',
      'kms.listening',
      'kms.stopping',
      'kms.stopped',
    ],
  )
})

test('the debug log has one line for each request, with its uid and without its content', async (t) => {
  const { socket, log } = await runningKms(t)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext, uid: 'uid-1' })
  await client.call('Decrypt', { ...sealed, uid: 'uid-2' })
  await client.call('Decrypt', { ...sealed, keyId: 'nobody’s', uid: 'uid-3' })
  const keyId = sealed['keyId'] as string
  t.like(log.of('kms.request'), [
    {
      level: 'debug',
      fields: { service: 'v2', method: 'Encrypt', status: 'OK', uid: 'uid-1', keyId },
    },
    { fields: { method: 'Decrypt', status: 'OK', uid: 'uid-2', keyId } },
    { fields: { method: 'Decrypt', status: 'NOT_FOUND', uid: undefined } },
  ])
  t.true(log.of('kms.request').every(({ fields }) => typeof fields['ms'] === 'number'))
})

test('a key is staged, activated and superseded while calls go on', async (t) => {
  const { socket, lab, told } = await runningKms(t)
  const client = kmsClient(t, socket)
  const sealed = [await client.call('Encrypt', { plaintext, uid: 'u' })]
  let failures = 0
  const done = new AbortController()
  const load = (async () => {
    while (!done.signal.aborted) {
      const fresh = await client.call('Encrypt', { plaintext, uid: 'u' })
      const opened = await client.call('Decrypt', { ...fresh, uid: 'u' })
      if (!plaintext.equals((opened['plaintext'] as Buffer | undefined) ?? Buffer.alloc(0))) {
        failures += 1
      }
      await sleep(1)
    }
  })()
  for (let n = 0; n < 3; n += 1) {
    await lab.stage()
    const keyId = await lab.activate()
    await until(t, async () => (await client.call('Status'))['keyId'] === keyId, {
      what: 'the new key is served',
    })
    sealed.push(await client.call('Encrypt', { plaintext, uid: 'u' }))
  }
  done.abort()
  await load
  t.is(failures, 0)
  t.is(new Set(sealed.map(({ keyId }) => keyId)).size, 4)
  for (const it of sealed) {
    t.deepEqual((await client.call('Decrypt', { ...it, uid: 'u' }))['plaintext'], plaintext)
  }
  t.is(told.at(-1), 'status: serving generation 7')
})

test('retired keys decrypt with a warning, destroyed ones have their own status', async (t) => {
  const { socket, lab, log, get } = await runningKms(t)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext, uid: 'u' })
  const keyId = sealed['keyId'] as string
  await lab.rotate()
  await lab.retire(keyId)
  const state = async (): Promise<string> => await get('/metrics')
  await until(t, async () => (await state()).includes('state="retired"'), { what: 'it is retired' })
  t.deepEqual((await client.call('Decrypt', { ...sealed, uid: 'u' }))['plaintext'], plaintext)
  t.like(log.of('kms.retired_key_used'), [{ level: 'warn', fields: { keyId } }])
  t.regex(await state(), /retired_key_decrypts_total\{key_id_hash="sha256:[0-9a-f]{64}"\} 1/)
  await lab.destroy(keyId)
  await until(t, async () => !(await state()).includes('state="retired"'), { what: 'it is gone' })
  t.deepEqual(await client.call('Decrypt', { ...sealed, uid: 'u' }), {
    code: 'FAILED_PRECONDITION',
    details: 'the key was destroyed (ERR_KEY_DESTROYED)',
  })
})

test('without a keyring it is UNAVAILABLE and not ready, until one appears', async (t) => {
  const { socket, lab, get, log, told } = await runningKms(t, { empty: true })
  const client = kmsClient(t, socket)
  for (const [method, request] of [
    ['Status', {}],
    ['Encrypt', { plaintext }],
    ['Decrypt', { ciphertext: plaintext, keyId: 'x' }],
  ] as const) {
    t.deepEqual(await client.call(method, request), {
      code: 'UNAVAILABLE',
      details: 'no usable keyring is loaded (ERR_KEYRING_NOT_FOUND)',
    })
  }
  t.is(await get('/readyz'), 'not ready\nfailing: no-keyring: no keyring is loaded\n')
  t.is(await get('/livez'), 'ok\n')
  t.like(log.of('kms.keyring_refused'), [{ thrown: { code: 'ERR_KEYRING_NOT_FOUND' } }])
  await lab.create()
  await until(t, async () => (await client.call('Status'))['healthz'] === 'ok', {
    what: 'it serves',
  })
  t.is(told.at(-1), 'status: serving generation 1')
})

test('a keyring spoiled while serving is refused, and the service goes on', async (t) => {
  const { socket, lab, get, log } = await runningKms(t)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext, uid: 'u' })
  await rm(lab.directory, { recursive: true })
  await until(t, () => log.of('kms.keyring_refused').length > 0, { what: 'it is refused' })
  t.like(await client.call('Status'), { healthz: 'ok', keyId: sealed['keyId'] })
  t.deepEqual((await client.call('Decrypt', { ...sealed, uid: 'u' }))['plaintext'], plaintext)
  t.is(
    await get('/readyz'),
    'ok\ndegraded: keyring-refused: the keyring in the store was refused\n',
  )
  t.regex(await get('/metrics'), /finding\{name="keyring-refused",severity="degraded"\} 1/)
})

test('strictly, a refused keyring is unhealthy, with the key id kept', async (t) => {
  const { socket, lab, reload, get } = await runningKms(t, { strictHealth: true })
  const client = kmsClient(t, socket)
  const { keyId } = await client.call('Status')
  await rm(lab.directory, { recursive: true })
  reload()
  await until(t, async () => (await client.call('Status'))['healthz'] !== 'ok', {
    what: 'unhealthy',
  })
  t.deepEqual(await client.call('Status'), {
    version: 'v2',
    healthz: 'the keyring in the store was refused',
    keyId,
  })
  t.regex(await get('/readyz'), /^not ready/)
})

test('an active key that does not work is unhealthy, with the key id kept, and does not encrypt', async (t) => {
  const { socket } = await runningKms(t, {
    attempt: () => {
      throw new Error('broken')
    },
  })
  const client = kmsClient(t, socket)
  const status = await client.call('Status')
  t.is(status['healthz'], 'the active key failed its self-test')
  t.regex(status['keyId'] as string, /^lk1\.1\./)
  t.like(await client.call('Encrypt', { plaintext }), { code: 'UNAVAILABLE' })
})

test('SIGHUP makes it look at once', async (t) => {
  const { lab, socket, reload, log } = await runningKms(t)
  const client = kmsClient(t, socket)
  const keyId = await lab.rotate()
  reload()
  await until(t, async () => (await client.call('Status'))['keyId'] === keyId, { what: 'new key' })
  t.true(log.of('kms.keyring_loaded').length >= 2)
})

test('stopping answers what is in flight, and refuses nobody who had connected', async (t) => {
  const { socket, stop, log } = await runningKms(t)
  const clients = Array.from({ length: 5 }, () => kmsClient(t, socket))
  for (const client of clients) await client.call('Status')
  const answers = clients.flatMap((client) =>
    Array.from({ length: 50 }, () => client.call('Encrypt', { plaintext, uid: 'u' })),
  )
  // The first answer says that the server has begun.
  await Promise.race(answers)
  const stopped = stop()
  const codes = (await Promise.all(answers.map((it) => Promise.race([it, sleep(3000, {})])))).map(
    (answer) => ('code' in answer ? answer.code : 'keyId' in answer ? 'OK' : 'waiting'),
  )
  // What the server had begun is answered; the rest was told to go elsewhere and waits there.
  t.true(
    codes.every((code) => code === 'OK' || code === 'waiting'),
    codes.join(),
  )
  t.true(codes.includes('OK'))
  await stopped
  t.like(log.of('kms.stopped'), [{ fields: { cut: 0 } }])
})

test('a peer that will not go does not hold up the stop', async (t) => {
  const { socket, stop } = await runningKms(t)
  const stubborn = bareConnection(t, socket)
  stubborn.socket.write(preface)
  stubborn.socket.allowHalfOpen = true
  await sleep(50)
  const started = performance.now()
  await stop()
  t.true(performance.now() - started < 20_000)
})

test('restarting on the same path: the successor serves, the former removes nothing of it', async (t) => {
  const socket = join(await socketDirectory(t), 'kms.sock')
  const first = await runningKms(t, { socket })
  const stopped = first.stop()
  let second: Awaited<ReturnType<typeof runningKms>> | undefined
  for (let n = 0; second === undefined && n < 100; n += 1) {
    second = await runningKms(t, { socket, lab: first.lab }).catch((error: unknown) => {
      t.like(error, { code: 'ERR_SOCKET_IN_USE' })
      return undefined
    })
  }
  await stopped
  await sleep(50)
  t.like(await kmsClient(t, socket).call('Status'), { healthz: 'ok' })
})

test('a socket that cannot be opened ends it with the error, and the metrics port is free again', async (t) => {
  const socket = join(await socketDirectory(t), 'kms.sock')
  await listening(t, socket)
  await t.throwsAsync(runningKms(t, { socket }), { code: 'ERR_SOCKET_IN_USE' })
  t.is(await greetingAt(socket), 'hello')
})

test('a task that fails ends it with its error', async (t) => {
  const { ended, socket } = await runningKms(t, {
    serviceManager: {
      ready: async () => undefined,
      status: async () => undefined,
      reloading: async () => undefined,
      stopping: async () => undefined,
      watchdog: () => Promise.reject(new LatchkeyError('ERR_IO', 'no watchdog')),
    },
  })
  await t.throwsAsync(ended, { message: 'no watchdog' })
  await t.throwsAsync(lstat(socket), { code: 'ENOENT' })
})

test('an internal error is "internal error" outside and explained inside', async (t) => {
  const { socket, log } = await runningKms(t, {
    random: () => {
      throw new Error('entropy ran out at /dev/secret')
    },
    attempt: () => undefined,
  })
  const client = kmsClient(t, socket)
  t.deepEqual(await client.call('Encrypt', { plaintext }), {
    code: 'INTERNAL',
    details: 'internal error',
  })
  t.like(log.of('kms.internal_error'), [
    { fields: { method: 'Encrypt' }, thrown: { message: 'entropy ran out at /dev/secret' } },
  ])
  t.like(await client.call('Status'), { healthz: 'ok' })
})
