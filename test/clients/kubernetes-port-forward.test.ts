import test, { type ExecutionContext } from 'ava'
import { createServer, type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { systemClock } from '../../src/base/clock.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { openPodPort } from '../../src/clients/kubernetes-port-forward.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../support/fake-kubernetes.ts'
import {
  type Forward,
  forwardTo,
  sayPort,
  servePortForwards,
} from '../support/fake-port-forward.ts'

const target = { namespace: 'system', pod: 'broker-0', port: 8443 }

interface Opened {
  readonly fake: FakeKubernetes
  readonly dial: (options?: { timeoutMs?: number; signal?: AbortSignal }) => Promise<Duplex>
}

async function open(t: ExecutionContext, forward: Forward, protocol?: string): Promise<Opened> {
  const fake = await startFakeKubernetes(t)
  servePortForwards(fake, forward, protocol)
  const client = createKubernetesClient(fake.access, { clock: systemClock })
  t.teardown(() => {
    client.close()
  })
  const { signal } = new AbortController()
  return {
    fake,
    dial: async (options) => {
      const tunnel = await openPodPort(client, target, { timeoutMs: 10_000, signal, ...options })
      t.teardown(() => tunnel.destroy())
      return tunnel
    },
  }
}

/** A server that sends back what it gets, and ends when that ends. */
async function echo(t: ExecutionContext): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Says the port, and then what is given. */
const saying =
  (...messages: readonly (string | readonly number[])[]) =>
  (socket: WebSocket): void => {
    sayPort(socket, target.port)
    for (const message of messages) {
      socket.send(typeof message === 'string' ? message : Buffer.from(message))
    }
  }

/** What the stream fails with. */
async function failure(tunnel: Duplex): Promise<unknown> {
  return await buffer(tunnel).then(
    (bytes) => `ended after ${bytes.byteLength} bytes`,
    (error: unknown) => error,
  )
}

test('bytes go through as they are, in both directions, however many', async (t) => {
  const port = await echo(t)
  const { fake, dial } = await open(
    t,
    forwardTo(() => ({ host: '127.0.0.1', port })),
  )
  const tunnel = await dial()
  const sent = Buffer.alloc(3_000_001, 'latchkey')
  const received: Buffer[] = []
  let length = 0
  const done = new Promise<void>((resolve) => {
    tunnel.on('data', (chunk: Buffer) => {
      received.push(chunk)
      length += chunk.byteLength
      if (length === sent.byteLength) resolve()
    })
  })
  tunnel.write(sent)
  await done
  t.true(Buffer.concat(received).equals(sent))
  const [asked] = fake.seen
  t.is(asked?.path, '/api/v1/namespaces/system/pods/broker-0/portforward')
  t.is(asked?.query.toString(), 'ports=8443')
  t.is(asked?.authorization, 'Bearer broker')
})

test('nothing is read faster than it is taken', async (t) => {
  let sent = 0
  const piece = Buffer.alloc(65_537)
  let socket: WebSocket | undefined
  const { dial } = await open(t, (webSocket) => {
    socket = webSocket
    sayPort(webSocket, target.port)
    const more = (): void => {
      if (sent >= 1_000) return
      sent += 1
      webSocket.send(piece, more)
    }
    more()
  })
  const tunnel = await dial()
  // Much less than the 64 MB on offer can be on the way in buffers of the system.
  let before = -1
  while (before !== sent) {
    before = sent
    await sleep(200)
  }
  t.true(sent < 1_000, String(sent))
  t.true(tunnel.readableLength <= 2 * piece.byteLength)
  let length = 0
  tunnel.on('data', (chunk: Buffer) => (length += chunk.byteLength))
  while (length < 1_000 * (piece.byteLength - 1)) await sleep(5)
  socket?.close()
  t.is(length, 1_000 * (piece.byteLength - 1))
})

test('the port may come in pieces, and with the first data behind it', async (t) => {
  const [low, high] = [target.port & 0xff, target.port >> 8]
  const { dial } = await open(t, (socket) => {
    for (const message of [
      [0],
      [0, low],
      [1, low],
      [1],
      [0, high, 104, 101],
      [1, high],
      [0, 121],
    ]) {
      socket.send(Buffer.from(message))
    }
    socket.close()
  })
  t.is((await buffer(await dial())).toString(), 'hey')
})

test('what the node says went wrong is told, without what could steer a terminal', async (t) => {
  const said = Buffer.from('\u0001error forwarding \u001b[31mport: connection refused')
  const { dial } = await open(t, (socket) => {
    saying([0, 104], [...said])(socket)
    socket.close()
  })
  t.like(await failure(await dial()), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
    message:
      'port 8443 of pod broker-0 is not forwarded (error forwarding ?[31mport: connection refused)',
  })
  const long = await open(t, (socket) => {
    saying(...Array.from({ length: 50 }, () => [1, ...Buffer.alloc(1_000, 'x')]))(socket)
    socket.close()
  })
  const error = (await failure(await long.dial())) as Error
  t.true(error.message.length < 400, error.message)
})

const hostile: readonly (readonly [string, Forward, string])[] = [
  ['a text', saying('hello'), 'ERR_MESSAGE_INVALID'],
  ['a message without channel', saying([]), 'ERR_MESSAGE_INVALID'],
  ['another channel', saying([2, 1]), 'ERR_MESSAGE_INVALID'],
  ['the channel 255', saying([255, 0]), 'ERR_MESSAGE_INVALID'],
  [
    'a message that is too long',
    (socket) => {
      sayPort(socket, target.port)
      socket.send(Buffer.alloc(1_048_577))
    },
    'ERR_KUBERNETES_UNAVAILABLE',
  ],
  [
    'a frame with reserved bits',
    (socket) => {
      sayPort(socket, target.port)
      rawSocket(socket).write(Buffer.from([0xf2, 0x02, 0, 1]))
    },
    'ERR_KUBERNETES_UNAVAILABLE',
  ],
  [
    'a frame that says it is 2^62 bytes long',
    (socket) => {
      sayPort(socket, target.port)
      rawSocket(socket).write(Buffer.from([0x82, 0x7f, 0x40, 0, 0, 0, 0, 0, 0, 0]))
    },
    'ERR_KUBERNETES_UNAVAILABLE',
  ],
  [
    'masked frames, which are a client’s',
    (socket) => {
      sayPort(socket, target.port)
      rawSocket(socket).write(Buffer.from([0x82, 0x82, 1, 2, 3, 4, 1, 2]))
    },
    'ERR_KUBERNETES_UNAVAILABLE',
  ],
]

for (const [name, forward, code] of hostile) {
  test(`refused: ${name}`, async (t) => {
    const { dial } = await open(t, forward)
    const error = await dial().then(failure, (thrown: unknown) => thrown)
    t.like(error, { code })
  })
}

test('a node that forwards another port, or ends before it says which, forwards none', async (t) => {
  const other = await open(t, (socket) => {
    sayPort(socket, 9_090)
  })
  await t.throwsAsync(other.dial(), { code: 'ERR_MESSAGE_INVALID' })
  const half = await open(t, (socket) => {
    socket.send(Buffer.from([0, target.port & 0xff, target.port >> 8]))
    socket.close()
  })
  await t.throwsAsync(half.dial(), { code: 'ERR_KUBERNETES_UNAVAILABLE', message: /\(closed\)$/ })
})

test('a server that speaks another protocol is none', async (t) => {
  const { dial } = await open(t, saying(), 'SPDY/3.1+portforward.k8s.io')
  await t.throwsAsync(dial(), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
})

test('an answer without upgrade has the code of its status', async (t) => {
  const { fake, dial } = await open(t, saying())
  for (const [status, code] of [
    [401, 'ERR_KUBERNETES_UNAUTHENTICATED'],
    [403, 'ERR_KUBERNETES_FORBIDDEN'],
    [404, 'ERR_KUBERNETES_NOT_FOUND'],
    [302, 'ERR_KUBERNETES_REFUSED'],
    [503, 'ERR_KUBERNETES_UNAVAILABLE'],
  ] as const) {
    fake.fault = () => status
    await t.throwsAsync(dial(), { code })
  }
  await fake.stop()
  await t.throwsAsync(dial(), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
})

test('a connection that breaks half-way ends the stream, and writing fails', async (t) => {
  let socket: WebSocket | undefined
  const { dial } = await open(t, (webSocket) => {
    socket = webSocket
    saying([0, 104, 105])(webSocket)
  })
  const tunnel = await dial()
  const [first] = (await tunnel
    .take(1)
    .toArray({ signal: AbortSignal.timeout(10_000) })) as Buffer[]
  t.is(first?.toString(), 'hi')
  const other = await dial()
  const ended = failure(other)
  socket?.terminate()
  t.is(await ended, 'ended after 2 bytes')
  const error = await new Promise((resolve) => other.write('more', resolve))
  t.truthy(error)
})

test('a silent server is given up at the deadline, and at once when nobody waits', async (t) => {
  const { fake, dial } = await open(t, () => undefined)
  await t.throwsAsync(dial({ timeoutMs: 50 }), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
    message: /no answer in time/,
  })
  fake.fault = () => 'hang'
  await t.throwsAsync(dial({ timeoutMs: 50 }), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
  const stop = new AbortController()
  const waiting = dial({ signal: stop.signal })
  stop.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await t.throwsAsync(dial({ signal: stop.signal }), { message: 'enough' })
})

test('whoever stops an open stream closes the connection too', async (t) => {
  const closed = Promise.withResolvers<undefined>()
  const { dial } = await open(t, (socket) => {
    sayPort(socket, target.port)
    socket.on('close', () => {
      closed.resolve(undefined)
    })
  })
  const stop = new AbortController()
  const tunnel = await dial({ signal: stop.signal })
  stop.abort(new Error('enough'))
  t.like(await failure(tunnel), { message: 'enough' })
  await closed.promise
})

/** The connection itself, for frames that no library would send. */
function rawSocket(socket: WebSocket): Duplex {
  return (socket as unknown as { readonly _socket: Duplex })._socket
}
