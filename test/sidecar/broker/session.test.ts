import { status } from '@grpc/grpc-js'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, createSecureServer } from 'node:http2'
import type { AddressInfo, Server } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { HostPort } from '../../../src/base/address.ts'
import { utf8 } from '../../../src/base/bytes.ts'
import type { ErrorCode } from '../../../src/base/errors.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { wipeSet } from '../../../src/sidecar/broker/messages.ts'
import type { OpenMessage } from '../../../src/sidecar/broker/messages.ts'
import { openSession } from '../../../src/sidecar/broker/session.ts'
import type { BrokerSession, SessionOpening } from '../../../src/sidecar/broker/session.ts'
import { createAuthority } from '../../e2e/support/authority.ts'
import { readyItem, startFakeBroker } from '../../support/fake-broker.ts'
import { loopClock } from '../../support/loop-clock.ts'

const authority = await createAuthority('latchkey test')
const identity = await authority.issue({
  commonName: 'broker',
  hosts: ['127.0.0.1', 'broker.test'],
  use: ['server'],
})

const other = await createAuthority('someone else')
const impostors = {
  'another authority': await other.issue({
    commonName: 'broker',
    hosts: ['127.0.0.1'],
    use: ['server'],
  }),
  'another name': await authority.issue({
    commonName: 'broker',
    hosts: ['10.0.0.1', 'elsewhere.test'],
    use: ['server'],
  }),
  'a client’s certificate': await authority.issue({
    commonName: 'broker',
    hosts: ['127.0.0.1'],
    use: ['client'],
  }),
}

const openMessage = (): OpenMessage => ({
  kind: 'open',
  token: SecretBytes.take(utf8('a-token-that-must-not-leak')),
  references: [{ secret: 'db', keys: ['password'] }],
  instance: randomBytes(16),
  planDigest: '',
  client: 'test',
})

const open = (
  address: HostPort,
  options: {
    trusted?: string
    serverName?: string
    acceptMs?: number
    connectMs?: number
    signal?: AbortSignal
    references?: OpenMessage['references']
  } = {},
): Promise<SessionOpening> =>
  openSession(
    { address, serverName: options.serverName },
    {
      open: { ...openMessage(), ...(options.references && { references: options.references }) },
      trusted: options.trusted ?? authority.cert,
      deadlines: { connectMs: options.connectMs ?? 30_000, acceptMs: options.acceptMs ?? 5000 },
      clock: loopClock,
      signal: options.signal ?? new AbortController().signal,
    },
  )

const accepted = async (opening: Promise<SessionOpening>): Promise<BrokerSession> => {
  const result = await opening
  if (result.kind !== 'accepted') throw new Error(`refused: ${result.goodbye.reason}`)
  return result.session
}

const failsWith = async (
  t: ExecutionContext,
  attempt: Promise<unknown>,
  code: ErrorCode,
): Promise<void> => {
  const error = await t.throwsAsync(attempt)
  t.true(isLatchkeyError(error, code), String(error))
  t.notRegex(String(error), /a-token/)
}

test('a stream opens, and messages go both ways', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  await stream.message(({ open: first }) => first !== undefined && first !== null)
  stream.accept()
  using session = await accepted(opening)
  t.is(session.accepted.replica, 'fake')
  t.is(session.chain[0]?.subject, 'CN=broker')
  const messages = session.messages()
  stream.sendSet([readyItem('db', { password: 'hunter2' })])
  const set = (await messages.next()).value
  if (set?.kind !== 'secret-set') return t.fail()
  t.is(Buffer.from(set.items[0]?.entries[0]?.value.expose() ?? []).toString(), 'hunter2')
  wipeSet(set)
  await session.send({ kind: 'token-refresh', token: SecretBytes.take(utf8('second')) })
  await session.send({
    kind: 'acknowledgement',
    sequence: 1,
    version: 'v1',
    outcome: 'written',
    secret: '',
  })
  await stream.message(({ message }) => message === 'acknowledgement')
  t.deepEqual(
    stream.received.map(({ message }) => message),
    ['open', 'token_refresh', 'acknowledgement'],
  )
})

test('a set of 16 MiB arrives whole', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.accept()
  using session = await accepted(opening)
  const value = randomBytes(1_048_576)
  const items = Array.from({ length: 16 }, (_, i) => readyItem(`s${i}`, { k: value }))
  stream.sendSet(items)
  const { value: set } = await session.messages().next()
  if (set?.kind !== 'secret-set') return t.fail()
  t.is(set.items.length, 16)
  t.true(set.items.every((item) => value.equals(item.entries[0]?.value.expose() ?? value.fill(0))))
})

test('a stream that the broker ends with OK ends', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.accept()
  using session = await accepted(opening)
  stream.goodbye('GOODBYE_REASON_DRAINING', { min: 10, max: 20 })
  const kinds: string[] = []
  for await (const message of session.messages()) kinds.push(message.kind)
  t.deepEqual(kinds, ['goodbye'])
})

test('a stream may be refused with a reason', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.goodbye('GOODBYE_REASON_TOKEN_REFUSED')
  stream.end(status.UNAUTHENTICATED, 'token refused')
  const result = await opening
  t.is(result.kind === 'refused' && result.goodbye.reason, 'token-refused')
})

test('a stream that ends with another status is an error that says which', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.end(status.UNAVAILABLE, 'going\naway')
  await failsWith(t, opening, 'ERR_BROKER_REFUSED')
})

test('a broker that does not accept in time is unreachable', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  await failsWith(t, open(broker.address, { acceptMs: 100 }), 'ERR_BROKER_UNREACHABLE')
})

test('a broker that takes no more than a part of the opening is unreachable', async (t) => {
  const server = createSecureServer(identity)
  server.on('stream', (stream) => stream.pause().on('error', () => undefined))
  const address = { host: '127.0.0.1', port: await portOf(t, server) }
  // More than HTTP/2 lets anyone send before the peer has taken some of it.
  const keys = Array.from({ length: 256 }, (_, i) => `${i}`.padEnd(253, 'k'))
  const references = ['a', 'b'].map((secret) => ({ secret, keys }))
  await failsWith(t, open(address, { acceptMs: 200, references }), 'ERR_BROKER_UNREACHABLE')
  const stop = new AbortController()
  const stopped = open(address, { signal: stop.signal, references })
  await once(server, 'stream')
  stop.abort(new Error('stopping'))
  await t.throwsAsync(stopped, { message: 'stopping' })
})

test('a set that is not newer than the one before breaks the protocol', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  for (const sequence of [7, 6]) {
    const opening = open(broker.address)
    const stream = await broker.nextStream()
    stream.accept()
    using session = await accepted(opening)
    const messages = session.messages()
    stream.send({ secret_set: { sequence: 7, version: 'v1', items: [] } })
    t.is((await messages.next()).value?.kind, 'secret-set')
    stream.send({ secret_set: { sequence, version: 'v2', items: [] } })
    await failsWith(t, messages.next(), 'ERR_BROKER_PROTOCOL')
  }
})

test('three missed heartbeats end a session', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.accept(1000)
  using session = await accepted(opening)
  const started = loopClock.monotonicMs()
  await failsWith(t, session.messages().next(), 'ERR_BROKER_UNREACHABLE')
  const waited = loopClock.monotonicMs() - started
  t.true(waited > 2900 && waited < 10_000, `${waited} ms`)
  await stream.ended
})

test('a broken connection ends a session', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address)
  const stream = await broker.nextStream()
  stream.accept()
  using session = await accepted(opening)
  const next = session.messages().next()
  await broker.stop()
  await failsWith(t, next, 'ERR_BROKER_UNREACHABLE')
  await failsWith(
    t,
    session.send({ kind: 'token-refresh', token: SecretBytes.take(utf8('a-token')) }),
    'ERR_BROKER_UNREACHABLE',
  )
})

test('an aborted signal ends an opening and a session', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const stop = new AbortController()
  const opening = open(broker.address, { signal: stop.signal })
  const stream = await broker.nextStream()
  stop.abort(new Error('stopping'))
  await t.throwsAsync(opening, { message: 'stopping' })
  await stream.ended
  const again = new AbortController()
  const second = open(broker.address, { signal: again.signal })
  const other = await broker.nextStream()
  other.accept()
  using session = await accepted(second)
  const next = session.messages().next()
  again.abort(new Error('stopping'))
  await t.throwsAsync(next, { message: 'stopping' })
})

test('the name that the certificate must carry can be given', async (t) => {
  const broker = await startFakeBroker(t, { identity })
  const opening = open(broker.address, { serverName: 'broker.test' })
  ;(await broker.nextStream()).accept()
  using session = await accepted(opening)
  t.truthy(session)
})

/** The port of a server that listens on loopback until the test is over. */
const portOf = async (t: ExecutionContext, server: Server): Promise<number> => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A TLS server that records what reaches it after the handshake. */
const eavesdropper = async (
  t: ExecutionContext,
  cert: { cert: string; key: string },
): Promise<{ address: HostPort; heard: Buffer[]; connections: () => number }> => {
  const heard: Buffer[] = []
  let connections = 0
  const server = createTlsServer({ ...cert, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('data', (data: Buffer) => heard.push(data))
    socket.on('error', () => undefined)
  })
  server.on('connection', () => {
    connections += 1
  })
  server.on('tlsClientError', () => undefined)
  const port = await portOf(t, server)
  return { address: { host: '127.0.0.1', port }, heard, connections: () => connections }
}

for (const [what, cert] of Object.entries(impostors)) {
  test(`nothing is sent to a peer with ${what}`, async (t) => {
    const server = await eavesdropper(t, cert)
    await failsWith(t, open(server.address), 'ERR_BROKER_UNTRUSTED')
    t.is(server.connections(), 1)
    t.is(Buffer.concat(server.heard).byteLength, 0)
  })
}

test('certificates of the system are not trusted', async (t) => {
  const server = await eavesdropper(t, identity)
  await failsWith(t, open(server.address, { trusted: other.cert }), 'ERR_BROKER_UNTRUSTED')
  t.is(server.heard.length, 0)
})

test('a peer without TLS, without HTTP/2, or without gRPC is unreachable or breaks the protocol', async (t) => {
  const plain = createServer()
  const old = createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const web = createSecureServer(identity, (_, response) => {
    response.statusCode = 404
    response.end('not here')
  })
  const ports = await Promise.all([plain, old, web].map((server) => portOf(t, server)))
  const [a = 0, b = 0, c = 0] = ports
  await failsWith(t, open({ host: '127.0.0.1', port: a }), 'ERR_BROKER_UNREACHABLE')
  await failsWith(t, open({ host: '127.0.0.1', port: b }), 'ERR_BROKER_UNREACHABLE')
  await failsWith(t, open({ host: '127.0.0.1', port: c }), 'ERR_BROKER_PROTOCOL')
})

test('a port where nobody listens, and one that never answers', async (t) => {
  const silent = createTcpServer(() => undefined)
  const port = await portOf(t, silent)
  await failsWith(
    t,
    open({ host: '127.0.0.1', port }, { connectMs: 100 }),
    'ERR_BROKER_UNREACHABLE',
  )
  await failsWith(t, open({ host: '127.0.0.1', port: 1 }), 'ERR_BROKER_UNREACHABLE')
})
