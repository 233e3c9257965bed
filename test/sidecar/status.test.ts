import test from 'ava'
import { connect } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { readSidecarCommand } from '../../src/sidecar/config.ts'
import { sidecarFlags, sidecarHelp } from '../../src/sidecar/flags.ts'
import { SidecarMetrics } from '../../src/sidecar/metrics.ts'
import { awaitedPage, booleanPage, openStatusServer } from '../../src/sidecar/status-server.ts'

test('metrics are Prometheus text with help and type for each', (t) => {
  const metrics = new SidecarMetrics()
  metrics.count('hooks_total', 'outcome="failed"')
  metrics.count('hooks_total', 'outcome="failed"')
  metrics.set('connected', 1)
  metrics.set('connected', 0)
  const text = metrics.text()
  t.regex(text, /^latchkey_sidecar_hooks_total\{outcome="failed"\} 2$/m)
  t.regex(text, /^latchkey_sidecar_connected 0$/m)
  for (const line of text.trimEnd().split('\n')) {
    t.regex(
      line,
      /^(# (HELP|TYPE) latchkey_sidecar_\w+ .+|latchkey_sidecar_\w+(\{\w+="[^"]*"\})? -?[\d.]+)$/,
    )
  }
  t.true(text.endsWith('\n'))
})

test('a status server says yes or no, and nothing else', async (t) => {
  let holds = false
  const server = await openStatusServer(
    { host: '127.0.0.1', port: 0 },
    { '/readyz': booleanPage(() => holds) },
  )
  t.teardown(() => server.close())
  const base = `http://127.0.0.1:${server.address.port}`
  t.is((await fetch(`${base}/readyz`)).status, 503)
  holds = true
  t.is(await (await fetch(`${base}/readyz?verbose`)).text(), 'ok\n')
  t.is((await fetch(`${base}/constructor`)).status, 404)
  t.is((await fetch(`${base}/readyz`, { method: 'POST' })).status, 405)
  t.is((await fetch(`${base}/readyz`, { method: 'HEAD' })).headers.get('content-length'), '3')
  t.is((await fetch(`${base}/readyz`)).status, 200)
  await t.throwsAsync(openStatusServer(server.address, {}), { code: 'ERR_IO' })
})

test('a page that is waited for says yes at once when it comes, and no after the time', async (t) => {
  let holds = false
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let asked = Promise.withResolvers<undefined>()
  const comes = async (): Promise<void> => {
    asked.resolve(undefined)
    await promise
  }
  const server = await openStatusServer(
    { host: '127.0.0.1', port: 0 },
    {
      '/short': awaitedPage(() => holds, comes, 20),
      '/long': awaitedPage(() => holds, comes, 2 ** 30),
    },
  )
  t.teardown(() => server.close())
  const base = `http://127.0.0.1:${server.address.port}`
  t.is((await fetch(`${base}/short`)).status, 503)
  // Who goes away is not waited for, and takes nobody else along.
  asked = Promise.withResolvers()
  const impatient = new AbortController()
  const left = fetch(`${base}/long`, { signal: impatient.signal })
  await asked.promise
  impatient.abort()
  await t.throwsAsync(left, { name: 'AbortError' })

  asked = Promise.withResolvers()
  const answer = fetch(`${base}/long`)
  await asked.promise
  holds = true
  resolve(undefined)
  t.is(await (await answer).text(), 'ok\n')
  t.is((await fetch(`${base}/long`)).status, 200)
})

test('a server that closes waits for no page', async (t) => {
  const asked = Promise.withResolvers<undefined>()
  const never = awaitedPage(
    () => false,
    async () => {
      asked.resolve(undefined)
      await new Promise(() => undefined)
    },
    2 ** 30,
  )
  const server = await openStatusServer({ host: '127.0.0.1', port: 0 }, { '/startz': never })
  const answer = fetch(`http://127.0.0.1:${server.address.port}/startz`)
  await asked.promise
  await server.close()
  await t.throwsAsync(answer)
})

/** What the server answers to raw bytes, until it closes the connection. */
async function exchange(port: number, bytes: string | readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  for (const part of typeof bytes === 'string' ? [bytes] : bytes) {
    socket.write(part)
    await turn()
  }
  await once(socket, 'close')
  return text
}

test('a status server answers whatever is thrown at it, and closes', async (t) => {
  const server = await openStatusServer(
    { host: '127.0.0.1', port: 0 },
    { '/readyz': booleanPage(() => true) },
  )
  t.teardown(() => server.close())
  const { port } = server.address
  const first = async (bytes: string | readonly string[]): Promise<string> =>
    (await exchange(port, bytes)).split('\r\n')[0] ?? ''
  const ok = 'HTTP/1.1 200 OK'
  t.is(await first('GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n'), ok)
  t.is(await first(['GET /rea', 'dyz HTTP/1.0\r', '\n\r', '\n']), ok)
  t.is(await first(`GET /readyz HTTP/1.1\r\n\r\n${'GET /readyz HTTP/1.1\r\n\r\n'.repeat(50)}`), ok)
  for (const bad of ['\0\0\0\r\n\r\n', 'GET\r\n\r\n', 'GET /readyz HTTP/2\r\n\r\n', '\r\n\r\n']) {
    t.is(await first(bad), 'HTTP/1.1 400 Bad Request', JSON.stringify(bad))
  }
  const long = `GET /readyz HTTP/1.1\r\nx: ${'y'.repeat(100_000)}`
  t.is(await first(long), 'HTTP/1.1 431 Request Header Fields Too Large')
  const head = await exchange(port, 'HEAD /readyz HTTP/1.1\r\n\r\n')
  t.true(head.startsWith(ok) && head.endsWith('\r\n\r\n'))
  t.regex(await exchange(port, 'PUT /readyz HTTP/1.1\r\n\r\n'), /^allow: GET, HEAD$/m)
})

test('whoever says nothing holds a connection for seconds, and never more than 32', async (t) => {
  const server = await openStatusServer(
    { host: '127.0.0.1', port: 0 },
    { '/readyz': booleanPage(() => true) },
  )
  t.teardown(() => server.close())
  const silent = Array.from({ length: 40 }, () => exchange(server.address.port, ''))
  const begin = performance.now()
  await Promise.all(silent)
  t.true(performance.now() - begin >= 4_500)
  t.true((await exchange(server.address.port, 'GET /readyz HTTP/1.1\r\n\r\n')).includes('ok'))
})

test('whoever holds all connections pushes out himself, and a probe from elsewhere is answered', async (t) => {
  const server = await openStatusServer(
    { host: '127.0.0.1', port: 0 },
    { '/readyz': booleanPage(() => true) },
  )
  t.teardown(() => server.close())
  const { port } = server.address
  for (let held = 0; held < 32; held += 1) {
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await once(socket, 'connect')
  }
  t.true((await exchange(port, 'GET /readyz HTTP/1.1\r\n\r\n')).includes('ok'))
})

const required = '--broker 127.0.0.1:1 --ca c --token t --secrets s --root r'.split(' ')
const read = (args: readonly string[], file = ''): ReturnType<typeof readSidecarCommand> =>
  readSidecarCommand(args, { readText: async () => file })

test('the defaults are these', async (t) => {
  t.deepEqual(await read(required), {
    kind: 'run',
    config: {
      broker: { host: '127.0.0.1', port: 1 },
      brokerName: undefined,
      ca: 'c',
      caDigest: undefined,
      token: 't',
      secrets: 's',
      planDigest: undefined,
      root: 'r',
      state: undefined,
      once: undefined,
      health: undefined,
      metrics: undefined,
      keepPreviousMs: 60_000,
      verifyEveryMs: 30_000,
      maxStaleMs: undefined,
      onStale: 'report',
      logLevel: 'info',
    },
  })
})

test('flags win over the file, and every flag is in the help', async (t) => {
  const file = 'once: true\nonce-timeout: 5s\nbroker: "[::1]:2"\nmax-stale: 1h\non-stale: remove\n'
  const command = await read([...required, '--config', 'f', '--on-stale=unready'], file)
  if (command.kind !== 'run') return t.fail()
  t.deepEqual(command.config.once, { timeoutMs: 5000 })
  t.deepEqual(command.config.broker, { host: '127.0.0.1', port: 1 })
  t.is(command.config.maxStaleMs, 3_600_000)
  t.is(command.config.onStale, 'unready')
  for (const flag of Object.keys(sidecarFlags)) t.true(sidecarHelp.includes(`--${flag}`), flag)
})

for (const [what, args, file, code] of [
  ['a missing flag', required.slice(2), '', 'ERR_USAGE'],
  ['an argument', [...required, 'x'], '', 'ERR_USAGE'],
  ['an unknown flag', [...required, '--x'], '', 'ERR_USAGE'],
  ['no port', [...required, '--health', 'localhost'], '', 'ERR_CONFIG_INVALID'],
  ['no time', [...required, '--max-stale', '5'], '', 'ERR_CONFIG_INVALID'],
  ['a time of nothing', [...required, '--verify-every', '0s'], '', 'ERR_CONFIG_INVALID'],
  ['a timeout without once', [...required, '--once-timeout', '5s'], '', 'ERR_CONFIG_INVALID'],
  ['an action without a limit', [...required, '--on-stale', 'remove'], '', 'ERR_CONFIG_INVALID'],
  ['an unknown action', [...required, '--max-stale=1s', '--on-stale=x'], '', 'ERR_CONFIG_INVALID'],
  ['an unknown level', [...required, '--log-level', 'x'], '', 'ERR_CONFIG_INVALID'],
  ['a digest that is none', [...required, '--ca-digest', 'x'], '', 'ERR_CONFIG_INVALID'],
  ['an unknown key', [...required, '--config=f'], 'x: 1', 'ERR_CONFIG_INVALID'],
  ['a key of the wrong type', [...required, '--config=f'], 'once: "yes"', 'ERR_CONFIG_INVALID'],
  ['a file that is a list', [...required, '--config=f'], '[]', 'ERR_CONFIG_INVALID'],
  ['a file that is not YAML', [...required, '--config=f'], '"', 'ERR_CONFIG_INVALID'],
  ['an alias', [...required, '--config=f'], 'ca: &a x\ntoken: *a', 'ERR_CONFIG_INVALID'],
] as const) {
  test(`refused: ${what}`, async (t) => {
    await t.throwsAsync(read(args, file), { code })
  })
}
