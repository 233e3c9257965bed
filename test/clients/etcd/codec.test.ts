import test from 'ava'
import { WireMessage } from '../../../src/base/protobuf.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import {
  rangeRequest,
  readRange,
  readTransaction,
  readWatch,
  transactionRequest,
} from '../../../src/clients/etcd/codec.ts'
import { parseEtcdFlags } from '../../../src/clients/etcd/flags.ts'
import { prefixEnd } from '../../../src/clients/etcd/messages.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'

const header = (revision: number): WireMessage => new WireMessage().varint(3, revision)
const keyValue = (key: string, value: string): WireMessage =>
  new WireMessage().text(1, key).varint(2, 3).varint(3, 5).varint(4, 2).text(5, value)

test('the end of a prefix is the first key behind it', (t) => {
  for (const [prefix, end] of [
    ['/a/', '/a0'],
    [Buffer.of(1, 0xff), Buffer.of(2)],
    [Buffer.of(0xff, 0xff), Buffer.of(0)],
    ['', Buffer.of(0)],
  ] as const) {
    t.deepEqual(Buffer.from(prefixEnd(prefix)), Buffer.from(end))
  }
})

test('what is default is left out of a request', (t) => {
  t.deepEqual(rangeRequest('k').encode(), Buffer.from('0a016b', 'hex'))
  const all = rangeRequest('k', { rangeEnd: 'l', limit: 1, revision: 300, keysOnly: true })
  t.deepEqual(all.encode(), Buffer.from('0a016b12016c180120ac024001', 'hex'))
})

test('a comparison with nothing is sent as one with 0, which etcd takes for it', (t) => {
  const request = transactionRequest({
    compare: [{ key: 'k', target: 'mod', is: '=', value: 0 }],
    success: [{ put: { key: 'k', value: Buffer.alloc(0) } }],
  }).encode()
  t.deepEqual(request, Buffer.from('0a0510021a016b1205' + '12030a016b', 'hex'))
})

test('answers are read, whatever fields a later etcd adds', (t) => {
  const answer = new WireMessage()
    .item(1, header(9))
    .item(2, keyValue('/a', 'x'))
    .item(2, keyValue('/b', 'y'))
    .varint(3, 1)
    .varint(4, 7)
    .text(99, 'new')
    .encode()
  const range = readRange(answer)
  t.like(range, { revision: 9, more: true, count: 7 })
  t.is(range.lastKey.toString(), '/b')
  t.like(range.entries[0], {
    key: '/a',
    createRevision: 3,
    modRevision: 5,
    version: 2,
    leased: false,
  })
  t.is(range.entries[1]?.value.toString(), 'y')
  const done = new WireMessage()
    .item(1, header(4))
    .varint(2, 1)
    .item(3, new WireMessage().item(2, new WireMessage()))
    .item(3, new WireMessage().item(3, new WireMessage().varint(2, 2)))
    .encode()
  t.deepEqual(readTransaction(done), {
    succeeded: true,
    revision: 4,
    answers: [{ put: true }, { deleted: 2 }],
  })
})

test('a watch’s messages: events, compaction, fragments', (t) => {
  const put = new WireMessage().item(2, keyValue('/a', 'x'))
  const gone = new WireMessage().varint(1, 1).item(2, new WireMessage().text(1, '/b').varint(3, 6))
  const message = new WireMessage().item(1, header(6)).varint(7, 1).item(11, put).item(11, gone)
  const read = readWatch(message.encode())
  t.like(read, { revision: 6, fragment: true, canceled: false, compactRevision: 0 })
  t.deepEqual(
    read.events.map(({ type, entry }) => [type, entry.key]),
    [
      ['put', '/a'],
      ['delete', '/b'],
    ],
  )
  const compacted = new WireMessage().varint(3, 1).varint(4, 1).varint(5, 12).encode()
  t.like(readWatch(compacted), { created: true, canceled: true, compactRevision: 12 })
})

test('bytes that are no message are refused', (t) => {
  t.throws(() => readRange(Buffer.of(0x12, 0x7f)), { code: 'ERR_MESSAGE_INVALID' })
})

test('nobody there: reads and writes end at their deadline, and nothing was sent', async (t) => {
  const [access] = parseEtcdFlags({ etcd: ['http://127.0.0.1:1,http://127.0.0.1:2'] }, '/')
  if (access === undefined) return t.fail()
  using client = await openEtcd(access, { clock: systemClock, random: createRandomPool() })
  const unavailable = { code: 'ERR_ETCD_UNAVAILABLE' }
  await t.throwsAsync(client.range('k', { timeoutMs: 200 }), unavailable)
  await t.throwsAsync(client.put('k', Buffer.of(1), { timeoutMs: 200 }), unavailable)
  const stop = AbortSignal.abort(new Error('stopped'))
  await t.throwsAsync(client.range('k', { signal: stop }), { message: 'stopped' })
})
