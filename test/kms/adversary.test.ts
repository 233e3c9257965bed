import test from 'ava'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { localLimits } from '../../src/net/grpc-connections.ts'
import { bareConnection, preface, rawSession } from '../support/grpc-echo.ts'
import { kmsClient, type KmsAnswer, type KmsClient } from '../support/kms-client.ts'
import { runningKms, type RunningKms } from '../support/running-kms.ts'
import { until } from '../support/until.ts'

const seed = randomBytes(32)

/** A good call, as the API server makes it: it must succeed after whatever happened before. */
async function goodCall(client: KmsClient): Promise<boolean> {
  const sealed = await client.call('Encrypt', { plaintext: seed, uid: 'good' })
  const opened = await client.call('Decrypt', { ...sealed, uid: 'good' })
  const code = sealed.code ?? opened.code
  if (code !== undefined) throw new Error(`${code}: ${sealed.details ?? opened.details ?? ''}`)
  return seed.equals((opened['plaintext'] as Buffer | undefined) ?? Buffer.alloc(0))
}

/** No path, no upstream text, nothing of the request: a fixed sentence and our code. */
const fixedSentence = /^[a-z][a-z -]{10,80} \(ERR_[A-Z_]+\)$/

test.serial(
  'every wrong Decrypt and Encrypt has its status, and the next good call succeeds',
  async (t) => {
    const { socket, lab } = await runningKms(t)
    const client = kmsClient(t, socket)
    const sealed = await client.call('Encrypt', { plaintext: seed, uid: 'u' })
    const { ciphertext, keyId } = sealed as unknown as { ciphertext: Buffer; keyId: string }
    const flipped = Buffer.from(ciphertext)
    flipped.writeUInt8(flipped.readUInt8(30) ^ 1, 30)
    const version = Buffer.from(ciphertext)
    version.writeUInt8(9, 0)
    const decrypt = (change: object): Promise<KmsAnswer> =>
      client.call('Decrypt', { ciphertext, keyId, uid: 'u', ...change })
    const other = keyId.replace(/.{4}$/, 'AAAA')
    const cases: readonly (readonly [string, Promise<KmsAnswer>, string])[] = [
      ['unknown key id of our form', decrypt({ keyId: other }), 'NOT_FOUND'],
      ['unknown key id of another form', decrypt({ keyId: 'projects/x/keys/y' }), 'NOT_FOUND'],
      ['empty key id', decrypt({ keyId: '' }), 'NOT_FOUND'],
      ['key id of 60 kB', decrypt({ keyId: 'k'.repeat(60_000) }), 'NOT_FOUND'],
      ['empty ciphertext', decrypt({ ciphertext: Buffer.alloc(0) }), 'INVALID_ARGUMENT'],
      ['one bit flipped', decrypt({ ciphertext: flipped }), 'INVALID_ARGUMENT'],
      ['another version', decrypt({ ciphertext: version }), 'INVALID_ARGUMENT'],
      ['cut short', decrypt({ ciphertext: ciphertext.subarray(0, 20) }), 'INVALID_ARGUMENT'],
      ['extended', decrypt({ ciphertext: Buffer.concat([ciphertext, seed]) }), 'INVALID_ARGUMENT'],
      ['random bytes', decrypt({ ciphertext: randomBytes(73) }), 'INVALID_ARGUMENT'],
      ['60 kB of random bytes', decrypt({ ciphertext: randomBytes(60_000) }), 'INVALID_ARGUMENT'],
      [
        'an annotation added',
        decrypt({ annotations: { 'latchkey.dev/x': Buffer.from('y') } }),
        'INVALID_ARGUMENT',
      ],
      [
        'an empty annotation',
        decrypt({ annotations: { '': Buffer.alloc(0) } }),
        'INVALID_ARGUMENT',
      ],
      ['an empty plaintext', client.call('Encrypt', { uid: 'u' }), 'INVALID_ARGUMENT'],
      [
        'a plaintext of 1 kB',
        client.call('Encrypt', { plaintext: randomBytes(1024) }),
        'INVALID_ARGUMENT',
      ],
    ]
    for (const [what, answer, code] of cases) {
      const found = await answer
      t.is(found.code, code, what)
      t.regex(found.details ?? '', fixedSentence, what)
      t.true(await goodCall(client), `after ${what}`)
    }
    const wrongKey = await lab.rotate().then(() => lab.open())
    using keyring = wrongKey
    await until(t, async () => (await client.call('Status'))['keyId'] === keyring.active.id, {
      what: 'the new key is served',
    })
    t.is((await decrypt({ keyId: keyring.active.id })).code, 'INVALID_ARGUMENT', 'wrong key id')
    t.deepEqual((await decrypt({}))['plaintext'], seed)
  },
)

test.serial(
  'a megabyte is RESOURCE_EXHAUSTED for every method, and the next good call succeeds',
  async (t) => {
    const { socket } = await runningKms(t)
    const megabyte = randomBytes(1 << 20)
    const client = kmsClient(t, socket)
    const old = kmsClient(t, socket, 'v1beta1')
    const calls: readonly Promise<KmsAnswer>[] = [
      client.call('Decrypt', { ciphertext: megabyte }),
      client.call('Decrypt', { keyId: 'k'.repeat(1 << 20) }),
      client.call('Decrypt', { annotations: { a: megabyte } }),
      client.call('Encrypt', { plaintext: megabyte }),
      old.call('Encrypt', { plain: megabyte }),
      old.call('Decrypt', { cipher: megabyte }),
      old.call('Version', { version: 'v'.repeat(1 << 20) }),
    ]
    for (const answer of await Promise.all(calls)) t.is(answer.code, 'RESOURCE_EXHAUSTED')
    t.true(await goodCall(client))
  },
)

test.serial('v1beta1 answers as the API server wants it', async (t) => {
  const { socket } = await runningKms(t)
  const client = kmsClient(t, socket, 'v1beta1')
  t.deepEqual(await client.call('Version', { version: 'v1beta1' }), {
    version: 'v1beta1',
    runtimeName: 'latchkey',
    runtimeVersion: '1.2.3',
  })
  for (const plain of [seed, Buffer.from('ping')]) {
    const sealed = await client.call('Encrypt', { version: 'v1beta1', plain })
    const opened = await client.call('Decrypt', { version: 'v1beta1', ...sealed })
    t.deepEqual(opened['plain'], plain)
  }
  for (const [cipher, code] of [
    [Buffer.alloc(0), 'INVALID_ARGUMENT'],
    [randomBytes(100), 'INVALID_ARGUMENT'],
    [
      Buffer.concat([Buffer.from([1, 28]), Buffer.from(`lk1.7.${'A'.repeat(22)}`), seed]),
      'NOT_FOUND',
    ],
  ] as const) {
    const answer = await client.call('Decrypt', { version: 'v1beta1', cipher })
    t.is(answer.code, code)
    t.regex(answer.details ?? '', fixedSentence)
  }
})

test.serial('methods and services that are not there are UNIMPLEMENTED', async (t) => {
  const { socket } = await runningKms(t)
  const { begin } = rawSession(t, socket)
  const empty = Buffer.from([0, 0, 0, 0, 0])
  for (const path of [
    '/v2.KeyManagementService/Export',
    '/grpc.reflection.v1.ServerReflection/x',
    '/',
  ]) {
    const { stream, status } = begin(empty, { ':path': path })
    stream.end()
    t.is(await status, '12', path)
  }
  t.true(await goodCall(kmsClient(t, socket)))
})

test.serial('bytes that are no protobuf are INVALID_ARGUMENT', async (t) => {
  const { socket, get } = await runningKms(t)
  const { begin } = rawSession(t, socket)
  const { stream, status } = begin(Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x7f]), {
    ':path': '/v2.KeyManagementService/Decrypt',
  })
  stream.end()
  t.is(await status, '3')
  t.regex(
    await get('/metrics'),
    /requests_total\{[^}]*method="Decrypt",code="INVALID_ARGUMENT"\} 1/,
  )
  t.true(await goodCall(kmsClient(t, socket)))
})

test.serial(
  'random bytes on the socket, at every stage of the protocol, harm nobody else',
  async (t) => {
    const { socket } = await runningKms(t)
    const client = kmsClient(t, socket)
    t.true(await goodCall(client))
    for (let n = 0; n < 200; n += 1) {
      const { socket: garbage } = bareConnection(t, socket)
      if (n % 3 > 0) garbage.write(preface)
      // A frame of each type with a random body, so that some reach the HTTP/2 state machine.
      const body = randomBytes(1 + (n % 200))
      const type = n % 11
      const stream = [0, 1, 3][n % 3] ?? 0
      garbage.write(Buffer.from([0, 0, body.byteLength, type, n & 0xff, 0, 0, 0, stream]))
      garbage.end(body)
    }
    t.true(await goodCall(client))
    t.true(await goodCall(kmsClient(t, socket)))
  },
)

test.serial(
  'half-open, silent, slow and deaf peers are cut off while good calls go on',
  async (t) => {
    const { socket, get } = await runningKms(t, {
      limits: {
        ...localLimits,
        handshakeMs: 1_000,
        requestMs: 1_000,
        keepaliveMs: 500,
        keepaliveTimeoutMs: 1_000,
      },
    })
    const client = kmsClient(t, socket)
    const silent = bareConnection(t, socket)
    const half = bareConnection(t, socket)
    half.socket.write(preface.subarray(0, 10))
    const deaf = bareConnection(t, socket)
    deaf.socket.write(preface)
    deaf.socket.pause()
    const slow = rawSession(t, socket)
    const { status, stream } = slow.begin(Buffer.from([0, 0, 0, 0, 50, 1]), {
      ':path': '/v2.KeyManagementService/Decrypt',
    })
    const dribble = setInterval(() => stream.write('x'), 50)
    t.teardown(() => {
      clearInterval(dribble)
    })
    const done = new AbortController()
    const cutting = (async () => {
      t.is(await status, '4')
      slow.session.close()
      await Promise.all([silent.closed, half.closed, slow.closed])
    })().finally(() => {
      done.abort()
    })
    for (let n = 0; n < 20 || !done.signal.aborted; n += 1) {
      t.true(await goodCall(client))
      await sleep(20)
    }
    await cutting
    await until(t, async () => /^latchkey_kms_connections 1$/m.test(await get('/metrics')), {
      what: 'only the good connection is left',
    })
    const shown = await get('/metrics')
    t.regex(shown, /turned_away_total\{reason="handshake"\} 2/)
    t.regex(shown, /turned_away_total\{reason="slow-request"\} 1/)
    t.true(await goodCall(client))
  },
)

test.serial('cancelled calls, in any number, leave nothing behind', async (t) => {
  const { socket, get } = await runningKms(t)
  const client = kmsClient(t, socket)
  t.true(await goodCall(client))
  for (let round = 0; round < 10; round += 1) {
    const cancelled = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        client.call('Encrypt', { plaintext: seed, uid: 'u' }, { cancelAfterMs: n % 3 }),
      ),
    )
    t.true(cancelled.every(({ code }) => code === undefined || code === 'CANCELLED'))
    t.true(await goodCall(client))
  }
  await until(t, async () => /^latchkey_kms_requests_in_flight 0$/m.test(await get('/metrics')), {
    what: 'nothing is in flight',
  })
})

test.serial('an expired deadline is DEADLINE_EXCEEDED', async (t) => {
  const { socket } = await runningKms(t)
  const { begin } = rawSession(t, socket)
  const { status } = begin(Buffer.from([0, 0, 0]), {
    ':path': '/v2.KeyManagementService/Decrypt',
    'grpc-timeout': '50m',
  })
  t.is(await status, '4')
  t.true(await goodCall(kmsClient(t, socket)))
})

test.serial('a thousand connections do not shut out those in use, nor the next one', async (t) => {
  // On a busy machine the flood takes longer than those who say nothing are waited for.
  const plugin = await runningKms(t, { limits: { ...localLimits, handshakeMs: 60_000 } })
  const { socket } = plugin
  const client = kmsClient(t, socket)
  t.true(await goodCall(client))
  for (let opened = 1; opened <= 1000; opened += 1) {
    const { socket: flood } = bareConnection(t, socket)
    if (opened % 2 === 0) flood.write(preface)
    if (opened % 100 === 0) await until(t, () => seen(plugin, opened + 1), { what: 'all are seen' })
  }
  t.regex(await plugin.get('/metrics'), /^latchkey_kms_connections 64$/m)
  t.true(await goodCall(client))
  t.true(await goodCall(kmsClient(t, socket)))
})

/** Whether the plugin has seen `count` connections. */
async function seen({ get }: RunningKms, count: number): Promise<boolean> {
  const shown = await get('/metrics')
  const value = (name: string): number =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(shown)?.[1])
  const open = value('latchkey_kms_connections')
  return open + value('latchkey_kms_turned_away_total\\{reason="evicted"\\}') === count
}

test.serial('Status, reads and writes all at once are answered, 1,000 of them', async (t) => {
  const { socket, get } = await runningKms(t)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext: seed, uid: 'u' })
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, n) => {
      if (n % 3 === 0) return client.call('Status')
      if (n % 3 === 1) return client.call('Encrypt', { plaintext: seed, uid: 'u' })
      return client.call('Decrypt', { ...sealed, uid: 'u' })
    }),
  )
  t.deepEqual(
    answers.filter(({ code }) => code !== undefined),
    [],
  )
  t.regex(await get('/metrics'), /turned_away_total\{reason="in-flight"\} 0/)
})
