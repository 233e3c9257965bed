import test, { type ExecutionContext } from 'ava'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import {
  isKeyOf,
  isSignedBy,
  keyPem,
  makeAuthority,
  makeLeaf,
  readCertificate,
  type KeyedCertificate,
} from '../../../src/webhook/certificates/x509.ts'

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const now = Date.now()
const validity = { notBeforeMs: now - 60_000, notAfterMs: now + 3_600_000 }
const names = ['latchkey-webhook.latchkey-system.svc', 'latchkey-broker.latchkey-system.svc']

const authority = (of: readonly string[] = names): Promise<KeyedCertificate> =>
  makeAuthority(of, { validity, random })
const leaf = (signer: KeyedCertificate, of: readonly string[]): Promise<KeyedCertificate> =>
  makeLeaf(of, { authority: signer, validity, random })

/** What a client that trusts `ca` alone says of a server that shows `shown`, called by `host`. */
async function handshake(
  t: ExecutionContext,
  shown: KeyedCertificate,
  client: { readonly ca: string; readonly host: string },
): Promise<string> {
  const server = createServer({ cert: shown.certificate, key: keyPem(shown.key) })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const isName = !/^[0-9.]+$|:/.test(client.host)
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: client.ca,
    ...(isName ? { servername: client.host } : {}),
  })
  return await new Promise((resolve) => {
    socket.once('secureConnect', () => {
      socket.destroy()
      resolve('trusted')
    })
    socket.once('error', (error: Error) => {
      resolve(error.message.split('; ')[0] ?? '')
    })
  })
}

test('a client that trusts the authority trusts what it signs, by each of its names', async (t) => {
  const ca = await authority()
  const server = await leaf(ca, names)
  for (const host of names) {
    t.is(await handshake(t, server, { ca: ca.certificate, host }), 'trusted')
  }
  const other = await authority()
  t.is(
    await handshake(t, server, { ca: other.certificate, host: names[0] ?? '' }),
    'unable to verify the first certificate',
  )
})

test('an authority vouches for its own names only, and for no address', async (t) => {
  const ca = await authority()
  for (const stranger of ['kubernetes.default.svc', 'svc', 'example.com']) {
    const server = await leaf(ca, [stranger])
    t.is(
      await handshake(t, server, { ca: ca.certificate, host: stranger }),
      'permitted subtree violation',
    )
  }
  const address = await leaf(ca, ['127.0.0.1'])
  t.is(
    await handshake(t, address, { ca: ca.certificate, host: '127.0.0.1' }),
    'excluded subtree violation',
  )
})

test('an authority for addresses vouches for those, and for no name', async (t) => {
  for (const own of [['127.0.0.1'], ['127.0.0.1', '::1', 'fd00::a:1']]) {
    const ca = await authority(own)
    const good = await leaf(ca, own)
    t.is(await handshake(t, good, { ca: ca.certificate, host: '127.0.0.1' }), 'trusted')
    const named = await leaf(ca, ['example.com'])
    t.is(
      await handshake(t, named, { ca: ca.certificate, host: 'example.com' }),
      'excluded subtree violation',
    )
  }
  const other = await authority(['127.0.0.2'])
  const server = await leaf(other, ['127.0.0.1'])
  t.is(
    await handshake(t, server, { ca: other.certificate, host: '127.0.0.1' }),
    'permitted subtree violation',
  )
})

test('what is signed cannot sign, and an authority is no server', async (t) => {
  const ca = await authority()
  const server = await leaf(ca, names)
  t.false(new X509Certificate(server.certificate).ca)
  t.true(new X509Certificate(ca.certificate).ca)
  const beyond = await leaf(server, names)
  const chain = { ...beyond, certificate: `${beyond.certificate}${server.certificate}` }
  t.not(await handshake(t, chain, { ca: ca.certificate, host: names[0] ?? '' }), 'trusted')
})

test('facts of a certificate are read back, and keys fit', async (t) => {
  const ca = await authority()
  const server = await leaf(ca, [...names, '127.0.0.1'])
  const facts = readCertificate(server.certificate)
  t.deepEqual(facts.names, [...names, '127.0.0.1'])
  t.is(facts.notAfterMs, Math.floor(validity.notAfterMs / 1000) * 1000)
  t.regex(facts.fingerprint, /^[0-9a-f]{64}$/)
  t.true(isSignedBy(server.certificate, ca.certificate))
  t.false(isSignedBy(server.certificate, (await authority()).certificate))
  t.true(isKeyOf(keyPem(server.key), server.certificate))
  t.false(isKeyOf(keyPem(ca.key), server.certificate))
  t.false(isKeyOf(Buffer.from('no key'), server.certificate))
  t.throws(() => readCertificate('no certificate'), { code: 'ERR_TLS_INVALID' })
})

test('no two serial numbers are alike, and all are positive', async (t) => {
  const ca = await authority()
  const serials = new Set<string>()
  for (let i = 0; i < 50; i += 1) {
    const { serialNumber } = new X509Certificate((await leaf(ca, names)).certificate)
    t.regex(serialNumber, /^[4-7][0-9A-F]{31}$/)
    serials.add(serialNumber)
  }
  t.is(serials.size, 50)
})

test('disposal wipes the key', async (t) => {
  const ca = await authority()
  const bytes = ca.key.expose()
  ca[Symbol.dispose]()
  t.true(bytes.every((byte) => byte === 0))
})
