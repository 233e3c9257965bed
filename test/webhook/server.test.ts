import test, { type ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { createRateLimit } from '../../src/observe/rate-limit.ts'
import { keyPem, makeAuthority, makeLeaf } from '../../src/webhook/certificates/x509.ts'
import { createWebhookMetrics } from '../../src/webhook/metrics.ts'
import { openAdmissionServer, type AdmissionServer } from '../../src/webhook/server.ts'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const validity = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 }
const authority = await makeAuthority(['localhost'], { validity, random })
const certificate = async (): Promise<{ cert: string; key: Buffer }> => {
  const leaf = await makeLeaf(['localhost'], { authority, validity, random })
  return { cert: leaf.certificate, key: keyPem(leaf.key) }
}

interface Ground {
  readonly server: AdmissionServer
  readonly post: (
    body: string | Buffer,
    options?: { readonly path?: string; readonly method?: string; readonly agent?: Agent },
  ) => Promise<{
    status: number
    body: string
    connection: string | undefined
    retryAfter: string | undefined
  }>
  readonly counted: () => Promise<string>
}

async function ground(
  t: ExecutionContext,
  answer: (body: string) => Promise<string> = async (body) => `echo ${body}`,
  limits: { readonly maxConnections?: number } = {},
): Promise<Ground> {
  const registry = createMetrics()
  const server = await openAdmissionServer(
    { host: '127.0.0.1', port: 0 },
    {
      answer,
      certificate: await certificate(),
      metrics: createWebhookMetrics(registry, { version: '0', inFlight: () => 0 }),
      log: silentLog,
      limit: createRateLimit({ intervalMs: 1000, clock: systemClock }),
      ...limits,
    },
  )
  t.teardown(() => server.close(0))
  return {
    server,
    counted: async () => (await registry.expose()).text,
    post: (body, { path = '/admit', method = 'POST', agent } = {}) =>
      new Promise((resolve, reject) => {
        const sent = request(
          {
            host: '127.0.0.1',
            port: server.address.port,
            servername: 'localhost',
            ca: authority.certificate,
            path,
            method,
            ...(agent === undefined ? { agent: false } : { agent }),
          },
          (response) => {
            const chunks: Buffer[] = []
            response.on('data', (chunk: Buffer) => chunks.push(chunk))
            response.on('end', () => {
              resolve({
                status: response.statusCode ?? 0,
                body: Buffer.concat(chunks).toString(),
                connection: response.headers.connection,
                retryAfter: response.headers['retry-after'],
              })
            })
          },
        )
        sent.on('error', reject)
        sent.end(body)
      }),
  }
}

test('a request is answered over TLS', async (t) => {
  const { post } = await ground(t)
  t.like(await post('x'), { status: 200, body: 'echo x' })
})

test('only POST to the one path is served', async (t) => {
  const { post } = await ground(t)
  t.like(await post('x', { path: '/' }), { status: 404 })
  t.like(await post('', { method: 'GET' }), { status: 405 })
})

test('a body that cannot be read is told so, a fault of ours is not', async (t) => {
  const { post, counted } = await ground(t, async (body) => {
    if (body === 'bad') throw new LatchkeyError('ERR_MESSAGE_INVALID', 'the body is not JSON')
    throw new Error('inner secret')
  })
  t.like(await post('bad'), { status: 400, body: 'the body is not JSON\n' })
  t.like(await post('worse'), { status: 500, body: 'internal error\n' })
  const text = await counted()
  t.regex(text, /latchkey_webhook_failures_total\{reason="invalid"\} 1/)
  t.regex(text, /latchkey_webhook_failures_total\{reason="internal"\} 1/)
})

test('a body without end is cut off', async (t) => {
  const { post } = await ground(t)
  t.like(await post(Buffer.alloc(8 * 2 ** 20, 'x')), { status: 200 })
  const outcome = await post(Buffer.alloc(32 * 2 ** 20)).catch((error: unknown) => error)
  t.true(outcome instanceof Error || (outcome as { status: number }).status === 413)
})

test('a client that says nothing, or half of it, is not waited for', async (t) => {
  const { server, post } = await ground(t)
  const { port } = server.address
  const silent = connectTcp(port, '127.0.0.1')
  const slow = connect({
    port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: authority.certificate,
  })
  await once(slow, 'secureConnect')
  slow.write('POST /admit HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc')
  for (const socket of [silent, slow]) socket.on('error', () => undefined)
  const ended = Promise.all([once(silent, 'close'), once(slow.resume(), 'close')])
  t.like(await post('x'), { status: 200 })
  const started = performance.now()
  await ended
  t.true(performance.now() - started < 40_000)
})

test('more requests than can be had at a time are turned away at once', async (t) => {
  const gate = Promise.withResolvers<undefined>()
  const { post, server, counted } = await ground(t, async () => {
    await gate.promise
    return 'done'
  })
  const all: ReturnType<typeof post>[] = []
  // A few at a time: the server waits only so long for a handshake.
  while (all.length < 256) {
    for (let i = 0; i < 16; i += 1) all.push(post('x'))
    while (server.inFlight() < all.length) await sleep(5)
  }
  for (let i = 0; i < 44; i += 1) all.push(post('x'))
  while (!(await counted()).includes('reason="busy"} 44')) await sleep(10)
  gate.resolve(undefined)
  const statuses = (await Promise.all(all)).map(({ status }) => status)
  t.is(statuses.filter((status) => status === 200).length, 256)
  t.is(statuses.filter((status) => status === 503).length, 44)
  while (server.inFlight() > 0) await sleep(10)
})

test('large bodies share what memory there is for them, and small ones need none of it', async (t) => {
  const gate = Promise.withResolvers<undefined>()
  let reached = 0
  const { post, counted } = await ground(t, async () => {
    reached += 1
    await gate.promise
    return 'done'
  })
  const large = Buffer.alloc(5 * 2 ** 20, 'x')
  const four: ReturnType<typeof post>[] = []
  while (four.length < 4) {
    four.push(post(large))
    while (reached < four.length) await sleep(5)
  }
  t.like(await post(large), { status: 503, retryAfter: '1' })
  const small = Array.from({ length: 20 }, () => post(Buffer.alloc(60_000, 'x')))
  while (reached < 24) await sleep(10)
  gate.resolve(undefined)
  t.true((await Promise.all([...four, ...small])).every(({ status }) => status === 200))
  t.like(await post(large), { status: 200 })
  t.regex(await counted(), /latchkey_webhook_failures_total\{reason="busy"\} 1\n/)
})

test('another certificate is used for new connections, and the old ones stay', async (t) => {
  const { server, post } = await ground(t)
  const shown = async (): Promise<string> => {
    const socket = connect({
      port: server.address.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca: authority.certificate,
    })
    await once(socket, 'secureConnect')
    const { fingerprint256 } = socket.getPeerCertificate()
    socket.destroy()
    return fingerprint256
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => {
    agent.destroy()
  })
  await post('x', { agent })
  const before = await shown()
  server.replaceCertificate(await certificate())
  t.not(await shown(), before)
  t.like(await post('y', { agent }), { status: 200 })
})

test('while it drains it serves on, and asks clients to connect anew', async (t) => {
  const { server, post } = await ground(t)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => {
    agent.destroy()
  })
  t.is((await post('x', { agent })).connection, 'keep-alive')
  server.drain()
  t.like(await post('x', { agent }), { status: 200, connection: 'close' })
})

test('closing answers what has arrived', async (t) => {
  const { server, post } = await ground(t, async (body) => {
    await sleep(200)
    return body
  })
  const answer = post('x')
  while (server.inFlight() === 0) await sleep(5)
  await server.close(5_000)
  t.like(await answer, { status: 200, body: 'x' })
  await t.throwsAsync(post('x'), { code: 'ECONNREFUSED' })
})

test('an address in use, and a key that does not fit, are told', async (t) => {
  const { server } = await ground(t)
  const deps = {
    answer: async () => '',
    metrics: createWebhookMetrics(createMetrics(), { version: '0', inFlight: () => 0 }),
    log: silentLog,
    limit: createRateLimit({ intervalMs: 1000, clock: systemClock }),
  }
  await t.throwsAsync(
    openAdmissionServer(server.address, { ...deps, certificate: await certificate() }),
    { code: 'ERR_IO' },
  )
  const mixed = { cert: (await certificate()).cert, key: (await certificate()).key }
  await t.throwsAsync(
    openAdmissionServer({ host: '127.0.0.1', port: 0 }, { ...deps, certificate: mixed }),
    { code: 'ERR_TLS_INVALID' },
  )
})

for (const kind of ['silent', 'idle after a handshake'] as const) {
  test(`a flood of connections from one address, ${kind}, pushes out itself and nobody else`, async (t) => {
    const { server, post } = await ground(t, undefined, { maxConnections: 4 })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => {
      agent.destroy()
    })
    t.is((await post('before', { agent })).status, 200)
    const closed: number[] = []
    for (let at = 0; at < 6; at += 1) {
      const place = { host: '127.0.0.1', port: server.address.port, localAddress: '127.0.0.2' }
      const socket =
        kind === 'silent'
          ? connectTcp(place)
          : connect({ ...place, servername: 'localhost', ca: authority.certificate })
      socket.on('error', () => undefined)
      socket.once('close', () => closed.push(at))
      t.teardown(() => socket.destroy())
      await Promise.race([
        once(socket, kind === 'silent' ? 'connect' : 'secureConnect'),
        once(socket, 'close'),
      ]).catch(() => undefined)
    }
    // The connection that was there, and one from elsewhere.
    t.is((await post('during', { agent })).status, 200)
    t.is((await post('new')).status, 200)
    while (closed.length < 4) await sleep(10)
    t.true(closed.includes(0))
  })
}
