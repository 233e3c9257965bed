import test from 'ava'
import { connect } from 'node:net'
import { once } from 'node:events'
import { readSidecarCommand } from '../../src/sidecar/config.ts'
import { sidecarFlags, sidecarHelp } from '../../src/sidecar/flags.ts'
import { SidecarMetrics } from '../../src/sidecar/metrics.ts'
import { booleanPage, openStatusServer } from '../../src/sidecar/status-server.ts'

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
  const garbage = connect(server.address.port, '127.0.0.1')
  garbage.resume()
  garbage.end('\0\0\0\r\n\r\n')
  await once(garbage, 'close')
  t.is((await fetch(`${base}/readyz`)).status, 200)
  await t.throwsAsync(openStatusServer(server.address, {}), { code: 'ERR_IO' })
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
