import { connectivityState, status } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareConnection, echoing, grpcClient, preface, rawSession } from '../support/grpc-echo.ts'

// What takes the machine's time is done one after the other, before what waits for a time to pass.

/** A time that is over, long enough for what a peer has sent at once to be read on a busy machine. */
const slowMs = 1_000

async function until(t: ExecutionContext, what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; waited < 5000 && !condition(); waited += 10) await sleep(10)
  t.true(condition(), what)
}

test.serial('a call is answered, and its connection is counted', async (t) => {
  const { connections, path } = await echoing(t)
  const { say, client } = grpcClient(t, path)
  t.is(await say('hello'), 'hello')
  t.is(connections.size, 1)
  client.close()
  await until(t, 'the connection is gone', () => connections.size === 0)
  t.is(connections.inFlight, 0)
})

test('connections without a complete HTTP/2 preface are cut after the handshake time', async (t) => {
  const { path, turnedAway, connections } = await echoing(t, { handshakeMs: slowMs })
  const silent = bareConnection(t, path)
  const half = bareConnection(t, path)
  half.socket.write(preface.subarray(0, 20))
  const noSettings = bareConnection(t, path)
  noSettings.socket.write(preface.subarray(0, 24))
  const complete = bareConnection(t, path)
  complete.socket.write(preface)
  await Promise.all([silent.closed, half.closed, noSettings.closed])
  t.deepEqual(turnedAway, ['handshake', 'handshake', 'handshake'])
  await until(t, 'only the complete one is left', () => connections.size === 1)
  t.false(complete.socket.destroyed)
})

test.serial('garbage ends its own connection only', async (t) => {
  const { path } = await echoing(t)
  const { say } = grpcClient(t, path)
  t.is(await say('before'), 'before')
  for (const garbage of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(4096, 0xff),
    Buffer.concat([preface, Buffer.alloc(4096, 0x41)]),
    Buffer.concat([preface, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])]),
  ]) {
    const { socket, closed } = bareConnection(t, path)
    socket.write(garbage)
    await closed
  }
  t.is(await say('after'), 'after')
})

test('a request that dribbles in is answered DEADLINE_EXCEEDED and reset; others are not', async (t) => {
  const { path, turnedAway, connections } = await echoing(t, { requestMs: slowMs })
  const { begin } = rawSession(t, path)
  const slow = begin(Buffer.from([0, 0, 0, 0, 9, 1]))
  const timer = setInterval(() => slow.stream.write('x'), slowMs / 5)
  t.teardown(() => {
    clearInterval(timer)
  })
  t.is(await slow.status, String(status.DEADLINE_EXCEEDED))
  clearInterval(timer)
  await until(t, 'the stream is reset', () => slow.stream.closed)
  t.is(slow.stream.rstCode, 0)
  t.deepEqual(turnedAway, ['slow-request'])
  t.is(connections.inFlight, 0)
  const good = begin(Buffer.from([0, 0, 0, 0, 1, 65]))
  good.stream.end()
  t.is(await good.status, '0', 'on the same connection')
})

const unfinished: Record<string, readonly [Buffer, Record<string, string>, status]> = {
  'too large': [Buffer.from([0, 9, 0, 0, 0, 1]), {}, status.RESOURCE_EXHAUSTED],
  late: [Buffer.from([0, 0]), { 'grpc-timeout': '50m' }, status.DEADLINE_EXCEEDED],
  'of many messages': [Buffer.alloc(16_000), {}, status.UNIMPLEMENTED],
}
for (const [what, [body, headers, code]] of Object.entries(unfinished)) {
  test.serial(
    `a request that is ${what} is not kept though its sender does not end it`,
    async (t) => {
      const { path, connections } = await echoing(t)
      const { begin } = rawSession(t, path)
      const { stream, status: answered } = begin(body, headers)
      t.is(await answered, String(code))
      await until(t, 'the stream is reset', () => stream.closed)
      t.is(connections.inFlight, 0)
    },
  )
}

test.serial(
  'a message above the limit is RESOURCE_EXHAUSTED, one at the limit is not',
  async (t) => {
    const { path } = await echoing(t, { maxMessageBytes: 1000 })
    const { say } = grpcClient(t, path)
    t.is(await say('x'.repeat(1000)), 'x'.repeat(1000))
    t.like(await say('x'.repeat(1001)), { code: status.RESOURCE_EXHAUSTED })
    t.like(await say('x'.repeat(1 << 20)), { code: status.RESOURCE_EXHAUSTED })
    t.is(await say('x'), 'x')
  },
)

test.serial('a message that inflates above the limit is RESOURCE_EXHAUSTED', async (t) => {
  const { gzipSync } = await import('node:zlib')
  const { path } = await echoing(t, { maxMessageBytes: 1000 })
  const bomb = gzipSync(Buffer.alloc(100_000))
  t.true(bomb.byteLength < 1000)
  const head = Buffer.from([1, 0, 0, 0, 0])
  head.writeUInt32BE(bomb.byteLength, 1)
  const { begin } = rawSession(t, path)
  const { stream, status: code } = begin(Buffer.concat([head, bomb]), { 'grpc-encoding': 'gzip' })
  stream.end()
  t.is(await code, String(status.RESOURCE_EXHAUSTED))
})

test.serial(
  'when too many requests are being answered, the next is RESOURCE_EXHAUSTED',
  async (t) => {
    const { path, release, turnedAway, connections } = await echoing(t, { maxInFlight: 2 })
    const { say } = grpcClient(t, path)
    const waiting = [say('wait'), say('wait')]
    await until(t, 'both are in flight', () => release.length === 2)
    t.deepEqual(await say('third'), {
      code: status.RESOURCE_EXHAUSTED,
      details: 'too many requests are in flight (ERR_BUSY)',
    })
    t.deepEqual(turnedAway, ['in-flight'])
    for (const go of release) go()
    t.deepEqual(await Promise.all(waiting), ['wait', 'wait'])
    await until(t, 'none is in flight', () => connections.inFlight === 0)
    t.is(await say('fourth'), 'fourth')
  },
)

test.serial(
  'when too many requests are being received, the slowest gives way to a good one',
  async (t) => {
    const { path, turnedAway, connections } = await echoing(t, { maxInFlight: 20 })
    const hostile = rawSession(t, path)
    const begun = Array.from({ length: 20 }, () => hostile.begin(Buffer.from([0, 0, 0])))
    await until(t, 'all are in flight', () => connections.inFlight === 20)
    const { say } = grpcClient(t, path)
    for (const word of ['a', 'b', 'c']) t.is(await say(word), word)
    t.is(await begun[0]?.status, String(status.RESOURCE_EXHAUSTED))
    t.is(begun[19]?.stream.closed, false)
    t.true(turnedAway.length >= 1 && turnedAway.every((reason) => reason === 'in-flight'))
  },
)

test.serial(
  'answers that are not taken, by a peer that answers pings, do not shut others out',
  async (t) => {
    const { path, turnedAway, connections } = await echoing(t, { maxInFlight: 20 })
    const hostile = rawSession(t, path, { initialWindowSize: 0 })
    const begun = Array.from({ length: 20 }, () => hostile.begin(Buffer.from([0, 0, 0, 0, 1, 65])))
    for (const { stream } of begun) stream.end()
    await until(t, 'all are in flight', () => connections.inFlight === 20)
    await sleep(500)
    const { say } = grpcClient(t, path)
    for (const word of ['a', 'b', 'c']) t.is(await say(word), word)
    await until(t, 'the oldest is cut', () => begun[0]?.stream.closed === true)
    t.is(begun[19]?.stream.closed, false)
    t.true(turnedAway.length >= 1 && turnedAway.every((reason) => reason === 'in-flight'))
  },
)

test('an answer that is not taken in time is let go', async (t) => {
  const { path, turnedAway, connections } = await echoing(t, { requestMs: slowMs })
  const { begin, session } = rawSession(t, path, { initialWindowSize: 0 })
  const { stream } = begin(Buffer.from([0, 0, 0, 0, 1, 65]))
  stream.end()
  await until(t, 'the stream is reset', () => stream.closed)
  t.is(stream.rstCode, 8)
  t.deepEqual(turnedAway, ['unread-answer'])
  t.is(connections.inFlight, 0)
  t.false(session.closed)
})

test("how long an answer takes to be made is nobody else's business", async (t) => {
  const { path, release, turnedAway } = await echoing(t, { requestMs: slowMs })
  const { say } = grpcClient(t, path)
  const answer = say('wait')
  await until(t, 'it is in flight', () => release.length === 1)
  await sleep(slowMs + 200)
  release[0]?.()
  t.is(await answer, 'wait')
  t.deepEqual(turnedAway, [])
})

test.serial('cancelled and abandoned requests are not counted for ever', async (t) => {
  const { path, connections, release } = await echoing(t)
  const cancelling = rawSession(t, path)
  for (let n = 0; n < 50; n += 1) cancelling.begin(Buffer.from([0, 0, 0])).stream.close(8)
  const vanishing = rawSession(t, path)
  for (let n = 0; n < 50; n += 1) vanishing.begin(Buffer.from([0, 0, 0]))
  await until(t, 'they arrived', () => connections.inFlight >= 50)
  vanishing.session.destroy()
  await until(t, 'none is left', () => connections.inFlight === 0)
  const { say } = grpcClient(t, path)
  const timedOut = await say('wait', 100)
  t.like(timedOut, { code: status.DEADLINE_EXCEEDED })
  await until(t, 'none is left', () => connections.inFlight === 0)
  for (const go of release) go()
  t.is(await say('hello'), 'hello')
})

test.serial(
  'of a thousand connections few are kept, and those in use are among them',
  async (t) => {
    const { path, connections, turnedAway } = await echoing(t, { handshakeMs: 60_000 })
    const good = grpcClient(t, path)
    t.is(await good.say('a'), 'a')
    for (let opened = 1; opened <= 1000; opened += 1) {
      bareConnection(t, path).socket.write(preface)
      // The listening socket's backlog is shorter than the flood.
      if (opened % 100 !== 0) continue
      await until(t, 'all are seen', () => turnedAway.length + connections.size === opened + 1)
    }
    t.is(connections.size, 64)
    t.true(turnedAway.every((reason) => reason === 'evicted'))
    t.is(await good.say('b'), 'b')
    const late = grpcClient(t, path)
    t.is(await late.say('c'), 'c')
  },
)

test.serial('when every connection is in use, one more is closed', async (t) => {
  const { path, turnedAway } = await echoing(t, { maxConnections: 3 })
  for (const name of ['a', 'b', 'c']) t.is(await grpcClient(t, path).say(name), name)
  const extra = bareConnection(t, path)
  await extra.closed
  t.deepEqual(turnedAway, ['connections'])
})

test('one that was in use long ago makes room, and its client does not notice', async (t) => {
  const limits = { maxConnections: 3, requestMs: slowMs }
  const { path, turnedAway, connections } = await echoing(t, limits)
  const [a, b, c] = [grpcClient(t, path), grpcClient(t, path), grpcClient(t, path)] as const
  for (const { say } of [a, b, c]) t.is(await say('x'), 'x')
  await sleep(slowMs + 100)
  t.is(await grpcClient(t, path).say('late'), 'late')
  t.deepEqual(turnedAway, ['evicted'])
  t.is(connections.size, 3)
  await until(t, 'it was told to go', () => {
    return a.client.getChannel().getConnectivityState(false) !== connectivityState.READY
  })
  t.is(await b.say('b'), 'b')
  t.deepEqual(turnedAway, ['evicted'])
  t.is(await a.say('a'), 'a')
  t.deepEqual(turnedAway, ['evicted', 'evicted'])
})

test('idle connections are closed in good order, and clients do not notice', async (t) => {
  const { path, connections } = await echoing(t, { idleMs: slowMs })
  const { say } = grpcClient(t, path)
  t.is(await say('a'), 'a')
  await until(t, 'it is closed', () => connections.size === 0)
  t.is(await say('b'), 'b')
})

test('a peer that does not hang up after the good-bye is cut', async (t) => {
  const { path, connections } = await echoing(t, { idleMs: 100 })
  const { socket } = bareConnection(t, path)
  socket.write(preface)
  socket.allowHalfOpen = true
  await until(t, 'it is there', () => connections.size === 1)
  await until(t, 'it is cut', () => connections.size === 0)
  t.pass()
})

test('a peer that stops reading is cut', async (t) => {
  const { path, connections } = await echoing(t, { keepaliveMs: 100, keepaliveTimeoutMs: slowMs })
  const deaf = bareConnection(t, path)
  deaf.socket.pause()
  deaf.socket.write(preface)
  await until(t, 'it is there', () => connections.size === 1)
  await until(t, 'it is cut', () => connections.size === 0)
  const { say } = grpcClient(t, path)
  t.is(await say('hello'), 'hello')
  await sleep(slowMs + 300)
  t.is(connections.size, 1, 'one that answers pings stays')
})
