import test, { type ExecutionContext } from 'ava'
import { connect } from 'node:net'
import { openEndpoint } from '../../src/observe/endpoint.ts'
import { Health } from '../../src/observe/health.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'

/** Not what every other test listens on: nobody may take a port that was just given up. */
const host = '127.0.0.3'

async function open(t: ExecutionContext) {
  const metrics = createMetrics()
  const health = new Health()
  const endpoint = await openEndpoint({ host, port: 0 }, { metrics, health, log: silentLog })
  t.teardown(() => endpoint.close())
  const { port } = endpoint.address
  return { metrics, health, endpoint, port, url: `http://${host}:${port}` }
}

test('metrics are served in the Prometheus text format', async (t) => {
  const { metrics, url } = await open(t)
  const calls = metrics.counter({ name: 'test_calls_total', help: 'Calls.', labels: ['code'] })
  calls.inc({ code: 'OK' }, 2)
  const response = await fetch(`${url}/metrics`)
  t.is(response.status, 200)
  t.regex(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  t.regex(await response.text(), /^test_calls_total\{code="OK"\} 2$/m)
})

test('readyz follows failing findings, livez does not', async (t) => {
  const { health, url } = await open(t)
  health.report({ name: 'older-key', severity: 'degraded', reason: 'an older key fails' })
  let ready = await fetch(`${url}/readyz`)
  t.is(ready.status, 200)
  t.is(await ready.text(), 'ok\ndegraded: older-key: an older key fails\n')
  health.report({ name: 'keyring', severity: 'failing', reason: 'no keyring is loaded' })
  ready = await fetch(`${url}/readyz`)
  t.is(ready.status, 503)
  t.true((await ready.text()).startsWith('not ready\nfailing: keyring: no keyring is loaded\n'))
  t.is((await fetch(`${url}/livez`)).status, 200)
  health.clear('keyring')
  t.is((await fetch(`${url}/readyz`)).status, 200)
})

test('other methods and paths are refused', async (t) => {
  const { url } = await open(t)
  const post = await fetch(`${url}/metrics`, { method: 'POST', body: 'x' })
  t.is(post.status, 405)
  t.is(post.headers.get('allow'), 'GET, HEAD')
  t.is((await fetch(`${url}/metrics`, { method: 'HEAD' })).status, 200)
  t.is((await fetch(`${url}/`)).status, 404)
  t.is((await fetch(`${url}/metrics/../etc`)).status, 404)
})

test('a client that never finishes its request is cut off', async (t) => {
  const { port } = await open(t)
  const socket = connect(port, host)
  t.teardown(() => socket.destroy())
  socket.write('GET /metrics HT')
  const started = performance.now()
  await new Promise((resolve) => socket.resume().on('close', resolve))
  t.true(performance.now() - started < 30_000)
})

test('an address in use is an error with a remedy', async (t) => {
  const { endpoint } = await open(t)
  const error = await t.throwsAsync(
    openEndpoint(endpoint.address, {
      metrics: createMetrics(),
      health: new Health(),
      log: silentLog,
    }),
    { code: 'ERR_IO' },
  )
  t.regex(error.message, /EADDRINUSE/)
})

test('close frees the port though a client holds a connection', async (t) => {
  const { endpoint, port } = await open(t)
  const socket = connect(port, host)
  await new Promise((resolve) => socket.on('connect', resolve))
  const closed = new Promise((resolve) => socket.on('error', resolve).on('close', resolve))
  await endpoint.close()
  await closed
  const again = await openEndpoint(endpoint.address, {
    metrics: createMetrics(),
    health: new Health(),
    log: silentLog,
  })
  t.is(again.address.port, port)
  await again.close()
})
