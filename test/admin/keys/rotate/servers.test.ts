import test from 'ava'
import {
  matchServers,
  readEndpointSlices,
  readLeases,
  type AnnouncedServer,
  type Answered,
} from '../../../../src/admin/keys/rotate/servers.ts'
import { sha256Label } from '../../../../src/base/bytes.ts'

const nowMs = Date.parse('2026-01-02T03:04:05Z')

const lease = (name: string, silentMs = 0): AnnouncedServer => ({
  id: `apiserver-${name}`,
  hostname: name,
  address: undefined,
  renewedAtMs: nowMs - silentMs,
  durationMs: 3_600_000,
})

const answer = (
  url: string,
  identities: readonly string[] | undefined,
  named = false,
): Answered => ({
  url,
  named,
  direct: false,
  identities:
    identities && new Set(identities.map((identity) => sha256Label(`apiserver-${identity}`))),
  ...(identities === undefined ? { problem: 'refused' } : {}),
})

test('Leases and EndpointSlices are read as API servers write them', (t) => {
  const list = {
    items: [
      {
        metadata: {
          name: 'apiserver-x',
          labels: { 'kubernetes.io/hostname': 'cp-1' },
          annotations: { 'kubernetes.io/peer-advertise-address': '10.0.0.1:6443' },
        },
        spec: { leaseDurationSeconds: 3600, renewTime: '2026-01-02T03:04:05.000000Z' },
      },
      { metadata: { name: 'apiserver-y' }, spec: {} },
    ],
  }
  t.deepEqual(readLeases(list), [
    {
      id: 'apiserver-x',
      hostname: 'cp-1',
      address: '10.0.0.1:6443',
      renewedAtMs: nowMs,
      durationMs: 3_600_000,
    },
    {
      id: 'apiserver-y',
      hostname: 'apiserver-y',
      address: undefined,
      renewedAtMs: Infinity,
      durationMs: 3_600_000,
    },
  ])
  const slices = {
    items: [{ ports: [{ port: 6443 }], endpoints: [{ addresses: ['10.0.0.1', 'fd00::1'] }] }],
  }
  t.deepEqual(readEndpointSlices(slices), ['10.0.0.1:6443', '[fd00::1]:6443'])
  t.deepEqual(readLeases(undefined), [])
  t.deepEqual(readEndpointSlices({ items: [1, {}] }), [])
})

test('each announced server is matched with the address that answers as it', (t) => {
  const { servers, missing } = matchServers(
    [lease('a'), lease('b')],
    [answer('https://1', ['b']), answer('https://2', ['a']), answer('https://3', ['a'], true)],
    nowMs,
  )
  t.deepEqual(servers, [
    { id: 'apiserver-a', name: 'a', url: 'https://2' },
    { id: 'apiserver-b', name: 'b', url: 'https://1' },
  ])
  t.deepEqual(missing, [])
})

test('who announced itself and does not answer is missing, until its Lease has expired', (t) => {
  const at = (silentMs: number): ReturnType<typeof matchServers> =>
    matchServers([lease('a', silentMs), lease('b')], [answer('https://1', ['b'])], nowMs)
  t.like(at(0).missing, [{ name: 'a', reason: '(Lease apiserver-a) was not reached at https://1' }])
  t.regex(at(90_000).missing[0]?.reason ?? '', /has not renewed its Lease .* for 90 s/)
  t.deepEqual(at(3_600_001).missing, [])
})

test('neither a clock that is ahead nor a Lease without a time makes a server expire', (t) => {
  const ahead = nowMs + 10 * 3_600_000
  const leases = [lease('a'), lease('b', 5_000)]
  t.like(matchServers(leases, [answer('https://1', ['b'])], ahead), { missing: [{ name: 'a' }] })
  const timeless = { ...lease('a'), renewedAtMs: Infinity }
  t.like(matchServers([timeless, lease('b')], [answer('https://1', ['b'])], ahead), {
    missing: [{ name: 'a' }],
  })
  t.like(matchServers([timeless], [], ahead), { missing: [{ name: 'a' }] })
})

test('the address that the cluster gives is taken before an entrance', (t) => {
  const entrance = answer('https://entrance', ['a'])
  const own = { ...answer('https://1', ['a']), direct: true }
  t.is(matchServers([lease('a')], [entrance, own], nowMs).servers[0]?.url, 'https://1')
  t.is(matchServers([lease('a')], [entrance], nowMs).servers[0]?.url, 'https://entrance')
})

test('a load balancer is nobody: not when named, and not when the kubeconfig names it', (t) => {
  const balancer = answer('https://lb', ['a', 'b'])
  t.like(matchServers([lease('a')], [balancer], nowMs), {
    servers: [],
    missing: [{ name: 'a' }],
  })
  const named = matchServers(
    [lease('a')],
    [answer('https://1', ['a']), { ...balancer, named: true }],
    nowMs,
  )
  t.like(named.missing, [
    { name: 'https://lb', reason: 'is a load balancer: name the API servers behind it' },
  ])
})

test('what a person names must answer, and is proved also when it announces nothing', (t) => {
  const { servers, missing } = matchServers(
    [],
    [
      answer('https://1', [], true),
      answer('https://2', undefined, true),
      answer('https://3', ['x']),
    ],
    nowMs,
  )
  t.deepEqual(servers, [{ id: 'https://1', name: 'https://1', url: 'https://1' }])
  t.deepEqual(missing, [{ id: 'https://2', name: 'https://2', reason: 'did not answer (refused)' }])
})
