import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { systemClock } from '../../src/base/clock.ts'
import { openTlsListener, type TlsLimits, type TlsListener } from '../../src/net/tls.ts'
import type { TlsIdentity } from '../../src/net/tls-identity.ts'
import { createAuthority, writeIdentity, type Authority } from '../e2e/support/authority.ts'
import { until } from '../e2e/support/until.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

const soon = { timeoutMs: 30_000, everyMs: 5 }

interface Opened {
  readonly authority: Authority
  readonly directory: string
  readonly listener: TlsListener
  readonly accepted: TLSSocket[]
  readonly refused: string[]
  readonly identities: TlsIdentity[]
  readonly problems: unknown[]
  readonly connect: (options?: ConnectionOptions) => TLSSocket
}

async function open(t: ExecutionContext, limits: Partial<TlsLimits> = {}): Promise<Opened> {
  const directory = await temporaryDirectory(t)
  const authority = await createAuthority('test')
  await issue(authority, directory, 'first')
  const accepted: TLSSocket[] = []
  const refused: string[] = []
  const identities: TlsIdentity[] = []
  const problems: unknown[] = []
  const listener = await openTlsListener(
    { host: '127.0.0.1', port: 0 },
    {
      files: { cert: `${directory}/tls.crt`, key: `${directory}/tls.key` },
      limits: { maxConnections: 100, maxHandshakes: 10, handshakeTimeoutMs: 30_000, ...limits },
      clock: systemClock,
      events: {
        identity: (it) => identities.push(it),
        identityProblem: (it) => problems.push(it),
        refused: (it) => refused.push(it),
      },
      onConnection: (socket) => accepted.push(socket),
      identityEveryMs: 20,
    },
  )
  t.teardown(() => listener.close())
  const opened = {
    authority,
    directory,
    listener,
    accepted,
    refused,
    identities,
    problems,
    connect: (options: ConnectionOptions = {}) => {
      const socket = connect({
        ...listener.address,
        ca: authority.cert,
        ALPNProtocols: ['h2'],
        ...options,
      })
      socket.on('error', () => undefined)
      t.teardown(() => socket.destroy())
      return socket
    },
  }
  return opened
}

async function issue(authority: Authority, directory: string, name: string): Promise<void> {
  const subject = { commonName: name, hosts: ['127.0.0.1'], use: ['server' as const] }
  await writeIdentity(directory, 'tls', await authority.issue(subject))
}

test('a client that speaks TLS 1.3 and HTTP/2 is let in, others are not', async (t) => {
  const { connect: dial, accepted, refused } = await open(t)
  const good = dial()
  await once(good, 'secureConnect')
  t.is(good.getProtocol(), 'TLSv1.3')
  await until('the connection', () => accepted.length === 1, soon)
  await t.throwsAsync(once(dial({ maxVersion: 'TLSv1.2' }), 'secureConnect'))
  const http1 = dial({ ALPNProtocols: ['http/1.1'] })
  await t.throwsAsync(once(http1, 'secureConnect'))
  await until('both to be refused', () => refused.length === 2, soon)
  t.deepEqual(refused, ['handshake', 'handshake'])
  t.is(accepted.length, 1)
})

test('a new certificate is used for new connections, and old ones go on', async (t) => {
  const { connect: dial, authority, directory, accepted, identities } = await open(t)
  const before = dial()
  await once(before, 'secureConnect')
  t.is(before.getPeerCertificate().subject.CN, 'first')
  await issue(authority, directory, 'second')
  await until('the new certificate', () => identities.length === 2, soon)
  const after = dial()
  await once(after, 'secureConnect')
  t.is(after.getPeerCertificate().subject.CN, 'second')
  t.is(after.getProtocol(), 'TLSv1.3')
  await t.throwsAsync(once(dial({ maxVersion: 'TLSv1.2' }), 'secureConnect'))
  accepted[0]?.write('still here')
  const [data] = (await once(before, 'data')) as [Buffer]
  t.is(data.toString(), 'still here')
})

test('while certificate and key do not fit, or are missing, the old ones stay in use', async (t) => {
  const { connect: dial, authority, directory, identities, problems } = await open(t)
  const { cert, key } = await authority.issue({
    commonName: 'second',
    hosts: ['127.0.0.1'],
    use: ['server'],
  })
  const oldKey = await fs.readFile(`${directory}/tls.key`, 'utf8')
  await fs.writeFile(`${directory}/tls.crt`, cert)
  await until('the problem', () => problems.length > 0, soon)
  t.like(problems[0], { code: 'ERR_TLS_INVALID' })
  t.false(JSON.stringify(problems[0]).includes(oldKey.slice(40, 80)))
  const during = dial()
  await once(during, 'secureConnect')
  t.is(during.getPeerCertificate().subject.CN, 'first')
  await fs.rm(`${directory}/tls.key`)
  const before = problems.length
  await until('the next problem', () => problems.length > before, soon)
  await fs.writeFile(`${directory}/tls.key`, key)
  await until('the new certificate', () => identities.length === 2, soon)
  const after = dial()
  await once(after, 'secureConnect')
  t.is(after.getPeerCertificate().subject.CN, 'second')
})

test('a handshake that does not come to its end is cut off, and counts no more', async (t) => {
  const { listener, refused } = await open(t, { handshakeTimeoutMs: 100 })
  const { host, port } = listener.address
  const silent = connectTcp({ host, port })
  silent.on('error', () => undefined)
  await once(silent, 'connect')
  await until('it to be counted', () => listener.connections() === 1, soon)
  await once(silent, 'close')
  await until('it to be forgotten', () => listener.connections() === 0, soon)
  t.deepEqual(refused, ['handshake'])
})

test('a flood of handshakes pushes out itself, and others get in', async (t) => {
  const { listener, refused, accepted, connect: dial } = await open(t, { maxHandshakes: 2 })
  const { host, port } = listener.address
  const silent = () =>
    connectTcp({ host, port, localAddress: '127.0.0.2' }).on('error', () => undefined)
  const [first, second] = [silent(), silent()]
  await until('the handshakes', () => listener.connections() === 2, soon)
  const closed = Promise.race([once(first, 'close'), once(second, 'close')])
  await once(dial(), 'secureConnect')
  await closed
  t.deepEqual(refused, ['limit'])
  await until('it to be let in', () => accepted.length === 1, soon)
  // One that is silent, and the one that is in.
  await until('the count', () => listener.connections() === 2, soon)
  await once(dial(), 'secureConnect')
  await until('another', () => accepted.length === 2, soon)
})

test('there is a limit on connections', async (t) => {
  const { refused, connect: dial } = await open(t, { maxConnections: 1 })
  const first = dial()
  await once(first, 'secureConnect')
  await t.throwsAsync(once(dial(), 'secureConnect'))
  t.deepEqual(refused, ['limit'])
  first.destroy()
  await until(
    'room',
    () =>
      once(dial(), 'secureConnect').then(
        () => true,
        () => false,
      ),
    soon,
  )
})

test('garbage instead of a handshake is refused', async (t) => {
  const { listener, refused } = await open(t)
  const { host, port } = listener.address
  const socket = connectTcp({ host, port }).on('error', () => undefined)
  socket.write('GET / HTTP/1.1\r\n\r\n')
  await once(socket, 'close')
  await until('it to be refused', () => refused.length === 1, soon)
  t.deepEqual(refused, ['handshake'])
})

test('closing ends every connection and frees the port', async (t) => {
  const { listener, connect: dial } = await open(t)
  const socket = dial()
  await once(socket, 'secureConnect')
  await until('the connection', () => listener.connections() === 1, soon)
  await listener.close()
  await once(socket, 'close')
  t.is(listener.connections(), 0)
  await t.throwsAsync(once(connectTcp(listener.address), 'connect'), { code: 'ECONNREFUSED' })
})

test('files that are no certificate or key are refused at the start', async (t) => {
  const directory = await temporaryDirectory(t)
  const files = { cert: `${directory}/tls.crt`, key: `${directory}/tls.key` }
  const never = (): void => {
    t.fail()
  }
  const start = (): Promise<unknown> =>
    openTlsListener(
      { host: '127.0.0.1', port: 0 },
      {
        files,
        limits: { maxConnections: 1, maxHandshakes: 1, handshakeTimeoutMs: 100 },
        clock: systemClock,
        events: { identity: never, identityProblem: never, refused: never },
        onConnection: never,
      },
    )
  await t.throwsAsync(start(), { code: 'ERR_TLS_INVALID' })
  await fs.writeFile(files.cert, 'x')
  await fs.writeFile(files.key, 'x')
  await t.throwsAsync(start(), { code: 'ERR_TLS_INVALID' })
})
