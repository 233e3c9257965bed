import test from 'ava'
import { X509Certificate } from 'node:crypto'
import { isSignedBy, readCertificate } from '../../../src/webhook/certificates/x509.ts'
import { issuerGround, policy, secrets, seen } from '../../support/issuer.ts'

const hour = 3_600_000
const day = 24 * hour
const signal = new AbortController().signal

test('from empty Secrets come an authority, a certificate to serve, and the broker’s', async (t) => {
  const { replica, data } = await issuerGround(t)
  const { issuer, served, authorities } = await seen(replica())
  t.is(served.length, 1)
  t.is(authorities.length, 1)
  t.is(issuer.bundle, authorities.join(''))
  t.true(isSignedBy(served[0] ?? '', issuer.bundle))
  t.is((await data('latchkey-authority'))['ca.crt'], issuer.bundle)
  const broker = await data('latchkey-broker-tls')
  t.deepEqual(Object.keys(broker), ['tls.crt', 'tls.key', 'ca.crt', 'version.key'])
  t.is(broker['ca.crt'], issuer.bundle)
  t.true(isSignedBy(broker['tls.crt'] ?? '', issuer.bundle))
  t.is(
    new X509Certificate(broker['tls.crt'] ?? '').subjectAltName,
    'DNS:broker.svc, DNS:broker.svc.cluster.local',
  )
})

test('looking again changes nothing', async (t) => {
  const { replica, kubernetes } = await issuerGround(t)
  const one = await seen(replica())
  const writes = kubernetes.asked('PUT', 'secrets').length
  await seen(one)
  await seen(one)
  t.is(kubernetes.asked('PUT', 'secrets').length, writes)
  t.is(one.served.length, 1)
})

test('replicas that start at once agree on one authority and one broker’s certificate', async (t) => {
  const { replica, data } = await issuerGround(t)
  const replicas = [replica(), replica(), replica(), replica()]
  await Promise.all(replicas.map(seen))
  await Promise.all(replicas.map(seen))
  const bundle = replicas[0]?.issuer.bundle ?? ''
  for (const { issuer, served } of replicas) {
    t.is(issuer.bundle, bundle)
    t.true(isSignedBy(served.at(-1) ?? '', issuer.bundle))
  }
  t.true(isSignedBy((await data('latchkey-broker-tls'))['tls.crt'] ?? '', bundle))
})

test('a certificate is replaced at half its life, also while the API server is away', async (t) => {
  const { replica, kubernetes } = await issuerGround(t)
  const one = await seen(replica())
  kubernetes.fault = () => 503
  one.now += 11 * hour
  await t.throwsAsync(one.issuer.see(signal), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
  t.is(one.served.length, 1)
  one.now += 2 * hour
  await t.throwsAsync(one.issuer.see(signal), { code: 'ERR_KUBERNETES_UNAVAILABLE' })
  t.is(one.served.length, 2)
})

test('the broker’s is replaced when a third of its life is used', async (t) => {
  const { replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const first = (await data('latchkey-broker-tls'))['tls.crt']
  one.now += 23 * hour
  await seen(one)
  t.is((await data('latchkey-broker-tls'))['tls.crt'], first)
  const version = (await data('latchkey-broker-tls'))['version.key']
  t.is(version?.length, 32)
  one.now += 2 * hour
  await seen(one)
  t.not((await data('latchkey-broker-tls'))['tls.crt'], first)
  t.is((await data('latchkey-broker-tls'))['version.key'], version)
})

test('a new authority is handed out first, signs later, and what it signs waits until it is known', async (t) => {
  const { replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const [old = ''] = one.authorities
  one.now += (3650 - 63) * day + hour
  one.knowsAll = false
  one.known.add(old)
  await seen(one)
  t.is(one.authorities.length, 2)
  t.is(one.authorities[0], old)
  const [, next = ''] = one.authorities
  t.is((await data('latchkey-broker-tls'))['ca.crt'], one.issuer.bundle)
  t.true(isSignedBy(one.served.at(-1) ?? '', old))
  t.true(isSignedBy((await data('latchkey-broker-tls'))['tls.crt'] ?? '', old))

  one.now += 30 * day
  await seen(one)
  t.true(isSignedBy(one.served.at(-1) ?? '', old), 'the API server does not know the new one yet')
  t.true(isSignedBy((await data('latchkey-broker-tls'))['tls.crt'] ?? '', next))

  one.known.add(next)
  await seen(one)
  t.true(isSignedBy(one.served.at(-1) ?? '', next))

  one.now += 40 * day
  await seen(one)
  t.deepEqual(one.authorities, [next])
  t.is((await data('latchkey-authority'))['ca.crt'], next)
})

test('of two replicas that see the time come, one makes the successor and the other takes it over', async (t) => {
  const { replica } = await issuerGround(t)
  const [one, two] = [await seen(replica()), await seen(replica())]
  for (const each of [one, two]) each.now += (3650 - 63) * day + hour
  await Promise.all([seen(one), seen(two)])
  await seen(one)
  await seen(two)
  t.is(one.authorities.length, 2)
  t.deepEqual(one.authorities, two.authorities)
})

test('a Secret that was emptied is filled from memory, with the same authority', async (t) => {
  const { replica, kubernetes, data } = await issuerGround(t)
  const one = await seen(replica())
  const { bundle } = one.issuer
  for (const name of ['latchkey-authority', 'latchkey-broker-tls']) {
    kubernetes.put(secrets, { metadata: { name, labels: { kept: 'yes' } }, type: 'Opaque' })
  }
  await seen(one)
  t.is(one.issuer.bundle, bundle)
  t.is((await data('latchkey-authority'))['ca.crt'], bundle)
  t.true(isSignedBy((await data('latchkey-broker-tls'))['tls.crt'] ?? '', bundle))
  const two = await seen(replica())
  t.is(two.issuer.bundle, bundle)
})

test('emptied while no replica runs, it gets a new authority, and the broker a new certificate', async (t) => {
  const { replica, data, kubernetes } = await issuerGround(t)
  const { bundle } = (await seen(replica())).issuer
  const { 'version.key': versionKey } = await data('latchkey-broker-tls')
  const { data: _, ...emptied } = kubernetes.get(secrets, 'latchkey-authority') ?? {
    metadata: { name: '' },
  }
  kubernetes.put(secrets, emptied)
  const next = (await seen(replica())).issuer.bundle
  t.not(next, bundle)
  const broker = await data('latchkey-broker-tls')
  t.is(broker['ca.crt'], next)
  t.true(isSignedBy(broker['tls.crt'] ?? '', next))
  t.is(broker['version.key'], versionKey)
})

test('a broker’s Secret that somebody meddled with is put right', async (t) => {
  const { replica, kubernetes, data } = await issuerGround(t)
  const one = await seen(replica())
  const good = await data('latchkey-broker-tls')
  const encode = (text: string): string => Buffer.from(text).toString('base64')
  for (const change of [
    { 'tls.crt': 'garbage' },
    { 'tls.key': 'garbage' },
    { 'ca.crt': 'garbage' },
    { 'tls.crt': '' },
    { 'version.key': 'short' },
  ]) {
    const data_ = Object.fromEntries(
      Object.entries({ ...good, ...change }).map(([key, value]) => [key, encode(value)]),
    )
    kubernetes.put(secrets, {
      metadata: { name: 'latchkey-broker-tls', labels: { kept: 'yes' } },
      data: data_,
    })
    await seen(one)
    const now = await data('latchkey-broker-tls')
    t.true(isSignedBy(now['tls.crt'] ?? '', one.issuer.bundle))
    t.is(now['ca.crt'], one.issuer.bundle)
    t.is(now['version.key']?.length, 32)
  }
})

test('without its Secret, or with a damaged one, it says so and goes on serving', async (t) => {
  const { replica, kubernetes } = await issuerGround(t)
  const one = await seen(replica())
  kubernetes.remove(secrets, 'latchkey-authority')
  await t.throwsAsync(one.issuer.see(signal), { code: 'ERR_KUBERNETES_NOT_FOUND' })
  t.true(one.issuer.isServing)
  const data = { 'authorities.json': Buffer.from('{}').toString('base64') }
  kubernetes.put(secrets, { metadata: { name: 'latchkey-authority' }, data })
  await t.throwsAsync(one.issuer.see(signal), { code: 'ERR_TLS_INVALID' })
  t.true(one.issuer.isServing)
})

test('the broker’s is renewed from memory while the authorities’ Secret is gone', async (t) => {
  const { kubernetes, replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const before = await data('latchkey-broker-tls')
  kubernetes.remove(secrets, 'latchkey-authority')
  one.now += 2 * day
  await t.throwsAsync(one.issuer.see(signal), { code: 'ERR_KUBERNETES_NOT_FOUND' })
  const after = await data('latchkey-broker-tls')
  t.not(after['tls.crt'], before['tls.crt'])
  t.true(isSignedBy(after['tls.crt'] ?? '', one.issuer.bundle))
})

test('a name more waits until the authority for it is known; pods go on believing the broker', async (t) => {
  const { replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const [old = ''] = one.authorities
  const names = [...policy.broker.names, 'broker-replicas.svc']
  const two = await seen(replica({ broker: { ...policy.broker, names } }))
  t.is(two.authorities.length, 2)
  t.is(two.authorities[0], old)
  const leaf = async (): Promise<string> => (await data('latchkey-broker-tls'))['tls.crt'] ?? ''
  const before = await leaf()
  t.true(isSignedBy(before, old))
  t.deepEqual(namesOf(before), policy.broker.names)
  // Meanwhile the broker hands the new one on.
  t.is((await data('latchkey-broker-tls'))['ca.crt'], two.issuer.bundle)
  two.now += 30 * day + hour
  await seen(two)
  t.true(isSignedBy(await leaf(), two.authorities[1] ?? ''))
  t.deepEqual(namesOf(await leaf()), names)
})

test('names of the webhook that change do not change who signs for the broker', async (t) => {
  const { replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const webhook = { ...policy.webhook, names: ['webhook.example'] }
  const two = await seen(replica({ webhook }))
  t.is(two.authorities.length, 2)
  t.true(isSignedBy(two.served.at(-1) ?? '', two.authorities[1] ?? ''))
  t.true(isSignedBy((await data('latchkey-broker-tls'))['tls.crt'] ?? '', one.authorities[0] ?? ''))
})

test('another name for pods to call gets an authority that vouches for it at once', async (t) => {
  const { replica, data } = await issuerGround(t)
  const one = await seen(replica())
  const names = ['broker.example', ...policy.broker.names]
  const two = await seen(replica({ broker: { ...policy.broker, names, host: 'broker.example' } }))
  t.is(two.authorities.length, 2)
  t.is(two.authorities[0], one.authorities[0])
  const leaf = (await data('latchkey-broker-tls'))['tls.crt'] ?? ''
  t.true(isSignedBy(leaf, two.authorities[1] ?? ''))
  t.deepEqual(namesOf(leaf), names)
})

const namesOf = (leaf: string): readonly string[] => readCertificate(leaf).names
