import test, { type ExecutionContext } from 'ava'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../src/base/clock.ts'
import { createKubernetesClient, type KubernetesClient } from '../../src/clients/kubernetes.ts'
import type { ClusterAccess } from '../../src/clients/kubernetes-access.ts'
import { reviewAccess, reviewToken } from '../../src/clients/kubernetes-reviews.ts'
import { createAuthority } from '../e2e/support/authority.ts'
import { startFakeKubernetes, type FakeKubernetes } from '../support/fake-kubernetes.ts'

const { signal } = new AbortController()

async function open(
  t: ExecutionContext,
): Promise<{ readonly fake: FakeKubernetes; readonly client: KubernetesClient }> {
  const fake = await startFakeKubernetes(t)
  const client = createKubernetesClient(fake.access, { clock: systemClock })
  t.teardown(() => {
    client.close()
  })
  return { fake, client }
}

test('each status is its own error code, and texts of the server are not repeated', async (t) => {
  const { fake, client } = await open(t)
  const expected: readonly [number, string][] = [
    [401, 'ERR_KUBERNETES_UNAUTHENTICATED'],
    [403, 'ERR_KUBERNETES_FORBIDDEN'],
    [404, 'ERR_KUBERNETES_NOT_FOUND'],
    [409, 'ERR_KUBERNETES_CONFLICT'],
    [410, 'ERR_KUBERNETES_GONE'],
    [422, 'ERR_KUBERNETES_REFUSED'],
    [429, 'ERR_KUBERNETES_UNAVAILABLE'],
    [500, 'ERR_KUBERNETES_UNAVAILABLE'],
    [503, 'ERR_KUBERNETES_UNAVAILABLE'],
  ]
  for (const [status, code] of expected) {
    fake.fault = () => status
    const error = await t.throwsAsync(client.request('GET', '/version', { signal }), { code })
    t.is(error.message, `the API server answered ${status} to GET /version`)
  }
})

test('a 404 counts as no such object only in the server’s own words', async (t) => {
  const { fake, client } = await open(t)
  const path = '/api/v1/namespaces/shop/secrets/db'
  await t.throwsAsync(client.request('GET', path, { signal }), { code: 'ERR_KUBERNETES_NOT_FOUND' })
  fake.stray = () => true
  const error = await t.throwsAsync(client.request('GET', path, { signal }), {
    code: 'ERR_KUBERNETES_REFUSED',
  })
  t.is(error.message, `what answers for the API server knows no ${path} (404)`)
})

test('a server that is away, silent or answers nonsense is unavailable', async (t) => {
  const { fake, client } = await open(t)
  const unavailable = { code: 'ERR_KUBERNETES_UNAVAILABLE' }
  fake.fault = () => 'hang'
  await t.throwsAsync(client.request('GET', '/version', { signal, timeoutMs: 50 }), unavailable)
  await fake.stop()
  await t.throwsAsync(client.request('GET', '/version', { signal }), unavailable)
})

test('an aborted request fails with the reason of its signal', async (t) => {
  const { fake, client } = await open(t)
  fake.fault = () => 'hang'
  const stop = new AbortController()
  const request = client.request('GET', '/version', { signal: stop.signal })
  const lines = client.lines('/version', { signal: stop.signal, idleMs: 1_000 })
  stop.abort(new RangeError('enough'))
  await t.throwsAsync(request, { instanceOf: RangeError })
  await t.throwsAsync(lines, { instanceOf: RangeError })
})

test('a stream that falls silent ends as unavailable', async (t) => {
  const { client } = await open(t)
  const lines = await client.lines('/api/v1/namespaces/shop/secrets', {
    query: { watch: 'true', resourceVersion: '100' },
    signal,
    idleMs: 500,
  })
  let count = 0
  await t.throwsAsync(
    async () => {
      for await (const line of lines) count += line.byteLength > 0 ? 1 : 0
    },
    { code: 'ERR_KUBERNETES_UNAVAILABLE' },
  )
  t.is(count, 1)
})

test('after a 401 the credentials are read again', async (t) => {
  const fake = await startFakeKubernetes(t)
  let reads = 0
  const access: ClusterAccess = {
    ...fake.access,
    credentials: async () => {
      reads += 1
      return { ca: undefined, cert: undefined, key: undefined, token: `token-${reads}` }
    },
  }
  const client = createKubernetesClient(access, { clock: systemClock })
  fake.fault = ({ authorization }) => (authorization === 'Bearer token-1' ? 401 : undefined)
  await t.throwsAsync(client.request('GET', '/version', { signal }), {
    code: 'ERR_KUBERNETES_UNAUTHENTICATED',
  })
  await client.request('GET', '/version', { signal })
  await client.request('GET', '/version', { signal })
  t.is(reads, 2)
  client.close()
})

test('credentials that cannot be read for a while leave those of before in use', async (t) => {
  const fake = await startFakeKubernetes(t)
  let nowMs = 0
  let broken = false
  const access: ClusterAccess = {
    ...fake.access,
    credentials: async () => {
      if (broken) throw new Error('the volume is being remounted')
      return { ca: undefined, cert: undefined, key: undefined, token: 'good' }
    },
  }
  const client = createKubernetesClient(access, { clock: { monotonicMs: () => nowMs } })
  await client.request('GET', '/version', { signal })
  broken = true
  nowMs = 60_000
  await client.request('GET', '/version', { signal })
  t.is(fake.seen.at(-1)?.authorization, 'Bearer good')
  client.close()
})

test('the token goes only to a server whose certificate verifies, and a new CA is picked up', async (t) => {
  const authority = await createAuthority('right')
  const wrong = await createAuthority('wrong')
  const fake = await startFakeKubernetes(
    t,
    await authority.issue({ commonName: 'api', hosts: ['127.0.0.1'], use: ['server'] }),
  )
  let nowMs = 0
  let ca = wrong.cert
  const access: ClusterAccess = {
    ...fake.access,
    credentials: async () => ({ ca, cert: undefined, key: undefined, token: 'secret' }),
  }
  const client = createKubernetesClient(access, { clock: { monotonicMs: () => nowMs } })
  await t.throwsAsync(client.request('GET', '/version', { signal }), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
  })
  t.deepEqual(fake.seen, [])
  ca = authority.cert
  nowMs = 60_000
  await client.request('GET', '/version', { signal })
  t.is(fake.seen.length, 1)
  client.close()
})

test('a token review passes token and audience, and gives user, groups and extra as they came', async (t) => {
  const { fake, client } = await open(t)
  fake.reviewToken = (spec) => {
    t.deepEqual(spec, { token: 'abc', audiences: ['latchkey'] })
    return {
      authenticated: true,
      audiences: ['latchkey', 'other'],
      user: {
        username: 'system:serviceaccount:shop:web',
        uid: 'u1',
        groups: ['g1', 'g2'],
        extra: { 'authentication.kubernetes.io/pod-name': ['web-0'] },
      },
    }
  }
  t.deepEqual(await reviewToken(client, { token: 'abc', audience: 'latchkey' }, signal), {
    audiences: ['latchkey', 'other'],
    user: {
      username: 'system:serviceaccount:shop:web',
      uid: 'u1',
      groups: ['g1', 'g2'],
      extra: { 'authentication.kubernetes.io/pod-name': ['web-0'] },
    },
  })
  fake.reviewToken = () => ({ authenticated: false, error: 'expired' })
  t.is(await reviewToken(client, { token: 'abc', audience: 'latchkey' }, signal), undefined)
  fake.reviewToken = () => ({})
  t.is(await reviewToken(client, { token: 'abc', audience: 'latchkey' }, signal), undefined)
})

test('an access review asks with user, uid, groups and extra verbatim, and only allowed counts', async (t) => {
  const { fake, client } = await open(t)
  const user = {
    username: 'system:serviceaccount:shop:web',
    uid: 'u1',
    groups: ['g1'],
    extra: { 'example.org/k': ['a', 'b'] },
  }
  const question = { user, verb: 'mount', resource: 'secrets', namespace: 'shop', name: 'vault:db' }
  fake.allow = (spec) => {
    t.deepEqual(spec, {
      user: user.username,
      uid: 'u1',
      groups: ['g1'],
      extra: { 'example.org/k': ['a', 'b'] },
      resourceAttributes: {
        verb: 'mount',
        group: '',
        version: 'v1',
        resource: 'secrets',
        namespace: 'shop',
        name: 'vault:db',
      },
    })
    return true
  }
  t.true(await reviewAccess(client, question, signal))
  fake.allow = () => false
  t.false(await reviewAccess(client, question, signal))
  fake.fault = () => 500
  await t.throwsAsync(reviewAccess(client, question, signal), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
  })
})

test('an exchange resolves with an answer of any status, and how long to wait', async (t) => {
  const { fake, client } = await open(t)
  for (const status of [200, 409, 422, 429, 500]) {
    fake.fault = () => (status === 200 ? undefined : status)
    const answer = await client.exchange('GET', '/version', { signal })
    t.is(answer.status, status)
    t.is(answer.retryAfterMs, undefined)
    t.true(Math.abs((answer.dateMs ?? 0) - Date.now()) < 60_000)
    t.deepEqual(
      JSON.parse(answer.body.toString()),
      status === 200 ? {} : { kind: 'Status', code: status },
    )
  }
  const unavailable = { code: 'ERR_KUBERNETES_UNAVAILABLE' }
  fake.fault = () => 'hang'
  await t.throwsAsync(client.exchange('GET', '/version', { signal, timeoutMs: 50 }), unavailable)
  const stop = new AbortController()
  const aborted = client.exchange('GET', '/version', { signal: stop.signal })
  stop.abort(new RangeError('enough'))
  await t.throwsAsync(aborted, { instanceOf: RangeError })
  await t.throwsAsync(client.exchange('GET', '/version', { signal: stop.signal }), {
    instanceOf: RangeError,
  })
  await fake.stop()
  await t.throwsAsync(client.exchange('GET', '/version', { signal }), unavailable)
})

test('Retry-After is read in whole seconds, and what breaks off half-way is no answer', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/half') {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{')
      setImmediate(() => response.destroy())
      return
    }
    response.writeHead(429, { 'retry-after': request.url === '/soon' ? '7' : 'Wed, 21 Oct 2026' })
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const access: ClusterAccess = {
    server: new URL(`http://127.0.0.1:${port}`),
    serverName: undefined,
    credentials: async () => ({
      ca: undefined,
      cert: undefined,
      key: undefined,
      token: undefined,
    }),
  }
  const client = createKubernetesClient(access, { clock: systemClock })
  t.is((await client.exchange('GET', '/soon', { signal })).retryAfterMs, 7_000)
  t.is((await client.exchange('GET', '/date', { signal })).retryAfterMs, undefined)
  await t.throwsAsync(client.exchange('GET', '/half', { signal }), {
    code: 'ERR_KUBERNETES_UNAVAILABLE',
  })
  client.close()
})
