import { status } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../../src/base/clock.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { WireMessage } from '../../../src/base/protobuf.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { parseEtcdFlags } from '../../../src/clients/etcd/flags.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { header, scriptedEtcd, type ScriptedMember } from '../../support/scripted-etcd.ts'

const deps = { clock: systemClock, random: createRandomPool() }

async function clientOf(
  t: ExecutionContext,
  ...members: readonly ScriptedMember[]
): Promise<EtcdClient> {
  const urls = members.map(({ endpoint }) => `http://${endpoint}`).join(',')
  const [access] = parseEtcdFlags({ etcd: [urls] }, '/')
  if (access === undefined) throw new RangeError('no access')
  const client = await openEtcd(access, deps)
  t.teardown(() => {
    client.close()
  })
  return client
}

const says = (code: status, details: string) => ({ code, details: `etcdserver: ${details}` })
const put = (revision: number): WireMessage => new WireMessage().item(1, header(revision))
const range = (count: number, keys: readonly string[], more = false): WireMessage => {
  const message = new WireMessage().item(1, header(9))
  for (const key of keys) message.item(2, new WireMessage().text(1, key).varint(3, 5))
  return message.varint(3, Number(more)).varint(4, count)
}

/** Refusals by which etcd says that it has not begun; the codes are those of its releases 3.5 and 3.6. */
const notTried = {
  'no leader': says(status.UNAVAILABLE, 'no leader'),
  'a learner': says(status.FAILED_PRECONDITION, 'rpc not supported for learner'),
  'a learner of 3.5': says(status.UNAVAILABLE, 'rpc not supported for learner'),
  'users that have just changed': says(status.INVALID_ARGUMENT, 'revision of auth store is old'),
  'too much to do': says(status.RESOURCE_EXHAUSTED, 'too many requests'),
}

for (const [title, refusal] of Object.entries(notTried)) {
  test(`${title}: reads and writes go to another member, as nothing was begun`, async (t) => {
    const refusing = await scriptedEtcd(t, {
      unary: { 'KV/Range': [refusal], 'KV/Put': [refusal] },
    })
    const other = await scriptedEtcd(t, {
      unary: { 'KV/Range': [range(1, ['/a'])], 'KV/Put': [put(12)] },
    })
    const reader = await clientOf(t, refusing, other)
    t.is((await reader.range('/a')).count, 1)
    const writer = await clientOf(t, refusing, other)
    t.is(await writer.put('/a', Buffer.of(1)), 12)
    t.deepEqual(refusing.calls, ['KV/Range', 'KV/Put'])
    t.deepEqual(other.calls, ['KV/Range', 'KV/Put'])
    const alone = await clientOf(t, refusing)
    const error = await t.throwsAsync(alone.put('/a', Buffer.of(1), { timeoutMs: 1_300 }))
    t.true(isLatchkeyError(error) && error.code !== 'ERR_ETCD_UNCERTAIN')
  })
}

test('a write that may have been begun is sent once, and said to be uncertain', async (t) => {
  for (const lost of [
    says(status.UNAVAILABLE, 'request timed out'),
    says(status.UNAVAILABLE, 'leader changed'),
    says(status.UNAVAILABLE, 'server stopped'),
    says(status.DEADLINE_EXCEEDED, 'context deadline exceeded'),
    { code: status.UNAVAILABLE, details: 'Connection dropped' },
  ]) {
    const member = await scriptedEtcd(t, { unary: { 'KV/Put': [lost, put(3)] } })
    const other = await scriptedEtcd(t, { unary: { 'KV/Put': [put(4)] } })
    const client = await clientOf(t, member, other)
    await t.throwsAsync(client.put('/a', Buffer.of(1)), { code: 'ERR_ETCD_UNCERTAIN' })
    t.deepEqual([...member.calls, ...other.calls], ['KV/Put'])
  }
})

test('a range that ends before the keys it announced is no answer', async (t) => {
  const member = await scriptedEtcd(t, {
    unary: { 'KV/Range': [range(3, ['/a', '/b'], true), range(3, [])] },
  })
  const client = await clientOf(t, member)
  const read = async (): Promise<void> => {
    for await (const page of client.pages('/a', { rangeEnd: '/z' })) t.true(page.total === 3)
  }
  await t.throwsAsync(read(), { code: 'ERR_MESSAGE_INVALID', message: /2 of 3/ })
})

test('a page from another cluster is refused', async (t) => {
  const foreign = new WireMessage().item(1, header(9, 8)).item(2, new WireMessage().text(1, '/b'))
  const member = await scriptedEtcd(t, {
    unary: { 'KV/Range': [range(2, ['/a'], true), foreign.varint(4, 2)] },
  })
  const client = await clientOf(t, member)
  const read = async (): Promise<void> => {
    for await (const page of client.pages('/a', { rangeEnd: '/z' })) t.true(page.total === 2)
  }
  await t.throwsAsync(read(), { code: 'ERR_USAGE', message: /different clusters/ })
})

test('why a watch was ended is told by etcd’s own reason', async (t) => {
  for (const [reason, code] of [
    ['etcdserver: permission denied', 'ERR_ETCD_FORBIDDEN'],
    [
      'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
      'ERR_ETCD_FORBIDDEN',
    ],
    [
      'rpc error: code = InvalidArgument desc = etcdserver: user name is empty',
      'ERR_ETCD_UNAUTHENTICATED',
    ],
    ['etcdserver: invalid auth token', 'ERR_ETCD_UNAUTHENTICATED'],
    ['etcdserver: revision of auth store is old', 'ERR_ETCD_REFUSED'],
    ['', 'ERR_ETCD_REFUSED'],
  ] as const) {
    const member = await scriptedEtcd(t, {
      watch: (call) => {
        const ended = new WireMessage().item(1, header(3)).varint(3, 1).varint(4, 1)
        call.write(ended.text(6, reason).encode())
      },
    })
    const client = await clientOf(t, member)
    const stop = new AbortController()
    const lost: unknown[] = []
    await client.watch('/a', {
      signal: stop.signal,
      onEvents: () => undefined,
      onLost: (error) => {
        lost.push(error)
        stop.abort()
      },
    })
    const [error] = lost
    t.true(isLatchkeyError(error, code), `${reason}: ${String(error)}`)
  }
})

test('a watch that was cut off amid the pieces of a revision begins with that revision again', async (t) => {
  const event = (key: string, revision: number): WireMessage =>
    new WireMessage().item(2, new WireMessage().text(1, key).varint(3, revision))
  const requests: number[] = []
  const member = await scriptedEtcd(t, {
    watch: (call, request) => {
      requests.push(request.byteLength)
      call.write(new WireMessage().item(1, header(20)).varint(3, 1).encode())
      const piece = new WireMessage().item(1, header(20)).varint(7, 1).item(11, event('/a', 15))
      if (requests.length === 1) {
        call.write(piece.encode(), () => {
          call.emit('error', { code: status.UNAVAILABLE, details: 'gone' })
        })
        return
      }
      call.write(piece.encode())
      call.write(new WireMessage().item(1, header(20)).item(11, event('/b', 15)).encode())
    },
  })
  const client = await clientOf(t, member)
  const stop = new AbortController()
  const seen: string[] = []
  await client.watch('/a', {
    rangeEnd: '/z',
    fromRevision: 15,
    signal: stop.signal,
    onEvents: (events) => {
      seen.push(...events.map(({ entry }) => entry.key))
      if (seen.includes('/b')) stop.abort()
    },
  })
  t.deepEqual(seen, ['/a', '/a', '/b'])
  // The same revision takes the same bytes.
  t.is(requests[0], requests[1])
})
