import protoLoader from '@grpc/proto-loader'
import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../src/base/secret.ts'
import { decodeClientMessage, decodeStatusQuestion } from '../../src/broker/decode.ts'
import {
  encodeAccepted,
  encodeCaBundle,
  encodeGoodbye,
  encodeHeartbeat,
  encodePodStatus,
  encodeReplicaStatus,
  encodeSecretSet,
} from '../../src/broker/encode.ts'
import {
  goodbyeReasons,
  outcomes,
  statuses,
  unavailableReasons,
} from '../../src/broker/messages.ts'

// Everything here is checked against the .proto itself, read by the field's own library.
const definitions = protoLoader.loadSync(
  new URL('../../proto/latchkey/v1/broker.proto', import.meta.url).pathname,
  { longs: Number, enums: String, defaults: true, keepCase: true },
)
const service = definitions['latchkey.v1.Broker'] as protoLoader.ServiceDefinition
const { Deliver: deliver, DeliveryStatus: deliveryStatus } = service
if (deliver === undefined || deliveryStatus === undefined) throw new Error('methods are missing')

const response = (bytes: Buffer): unknown => plain(deliver.responseDeserialize(bytes))
const statusResponse = (bytes: Buffer): unknown => plain(deliveryStatus.responseDeserialize(bytes))
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
const request = (message: object): Buffer => deliver.requestSerialize(message)

const token = Buffer.from('header.payload.signature')
const open = {
  protocol_version: 1,
  token,
  references: [
    { secret: 'db', keys: ['password', 'user'] },
    { secret: 'vault:tls', keys: [] },
  ],
  instance: Buffer.alloc(16, 7),
  plan_digest: `sha256:${'0a'.repeat(32)}`,
  client: 'latchkey-sidecar/0.1.0',
}

test('what a client says is read as the .proto means it', (t) => {
  t.deepEqual(decodeClientMessage(request({ open })), {
    kind: 'open',
    protocolVersion: 1,
    token,
    references: [
      { secret: 'db', keys: ['password', 'user'] },
      { secret: 'vault:tls', keys: [] },
    ],
    instance: 'BwcHBwcHBwcHBwcHBwcHBw',
    planDigest: open.plan_digest,
    client: 'latchkey-sidecar/0.1.0',
  })
  t.deepEqual(decodeClientMessage(request({ token_refresh: { token } })), {
    kind: 'token-refresh',
    token,
  })
  for (const [index, outcome] of outcomes.entries()) {
    const acknowledgement = { sequence: 2 ** 40, version: 'v_1-', outcome: index, secret: 'db' }
    t.deepEqual(decodeClientMessage(request({ acknowledgement })), {
      kind: 'acknowledgement',
      sequence: 2 ** 40,
      version: 'v_1-',
      outcome,
      secret: 'db',
    })
  }
  t.deepEqual(decodeClientMessage(Buffer.alloc(0)), { kind: 'unknown' })
  // Field 15, which a later release might add.
  t.deepEqual(decodeClientMessage(Buffer.from([0x7a, 1, 0])), { kind: 'unknown' })
  const question = deliveryStatus.requestSerialize({ namespace: 'shop', secret: 'vault:db' })
  t.deepEqual(decodeStatusQuestion(question), { namespace: 'shop', secret: 'vault:db' })
})

test('a message that breaks a limit of the .proto is refused, and nothing of it is repeated', (t) => {
  const many = Array.from({ length: 129 }, (_, i) => ({ secret: `s${i}`, keys: [] }))
  const keys = Array.from({ length: 257 }, (_, i) => `k${i}`)
  const broken: readonly [string, object][] = [
    ['no version', { ...open, protocol_version: 0 }],
    ['no token', { ...open, token: Buffer.alloc(0) }],
    ['a long token', { ...open, token: Buffer.alloc(16_385, 65) }],
    ['a token with a line feed', { ...open, token: Buffer.from('a.b.c\n') }],
    ['no references', { ...open, references: [] }],
    ['too many references', { ...open, references: many }],
    ['a reference twice', { ...open, references: [open.references[0], open.references[0]] }],
    ['another namespace', { ...open, references: [{ secret: 'bank/db', keys: [] }] }],
    ['a path', { ...open, references: [{ secret: '../db', keys: [] }] }],
    ['no secret', { ...open, references: [{ secret: '', keys: [] }] }],
    ['too many keys', { ...open, references: [{ secret: 'db', keys }] }],
    ['a key twice', { ...open, references: [{ secret: 'db', keys: ['a', 'a'] }] }],
    ['a key that is a path', { ...open, references: [{ secret: 'db', keys: ['a/b'] }] }],
    ['an empty key', { ...open, references: [{ secret: 'db', keys: [''] }] }],
    ['a short instance', { ...open, instance: Buffer.alloc(15) }],
    ['a digest that is none', { ...open, plan_digest: 'sha256:xyz' }],
    ['a client with control characters', { ...open, client: 'a\u001b[31m' }],
    ['a long client', { ...open, client: 'a'.repeat(65) }],
  ]
  for (const [title, message] of broken) {
    const error = t.throws(
      () => decodeClientMessage(request({ open: message })),
      { code: 'ERR_MESSAGE_INVALID' },
      title,
    )
    t.false(error.message.includes('signature'))
  }
  for (const acknowledgement of [
    { sequence: 0, version: 'v', outcome: 1 },
    { sequence: 1, version: 'v'.repeat(65), outcome: 1 },
    { sequence: 1, version: 'v', outcome: 1, secret: '/etc' },
  ]) {
    t.throws(() => decodeClientMessage(request({ acknowledgement })), {
      code: 'ERR_MESSAGE_INVALID',
    })
  }
  for (const question of [
    { namespace: '', secret: 'db' },
    { namespace: 'shop', secret: '' },
    { namespace: 'a/b', secret: 'db' },
  ]) {
    t.throws(() => decodeStatusQuestion(deliveryStatus.requestSerialize(question)), {
      code: 'ERR_MESSAGE_INVALID',
    })
  }
})

test('bytes that are no message are refused by code, whatever they are', (t) => {
  const valid = request({ open })
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 80 }),
        fc
          .tuple(fc.nat(valid.byteLength - 1), fc.nat(255))
          .map(([at, byte]) => valid.with(at, byte)),
        fc.nat(valid.byteLength).map((length) => valid.subarray(0, length)),
      ),
      (bytes) => {
        try {
          return ['open', 'token-refresh', 'acknowledgement', 'unknown'].includes(
            decodeClientMessage(bytes).kind,
          )
        } catch (error) {
          return (error as { code?: string }).code === 'ERR_MESSAGE_INVALID'
        }
      },
    ),
    { numRuns: process.env['SLOW'] === undefined ? 2_000 : 100_000 },
  )
  t.pass()
})

test('what the broker says is what the .proto means', (t) => {
  t.deepEqual(response(encodeAccepted({ heartbeatIntervalMs: 15_000, replica: 'broker-0' })), {
    accepted: { protocol_version: 1, heartbeat_interval_ms: 15_000, replica: 'broker-0' },
  })
  t.deepEqual(response(encodeHeartbeat({ staleMs: 0.5, sequence: 0 })), {
    heartbeat: { stale_ms: 1, sequence: 0 },
  })
  t.like(response(encodeHeartbeat({ staleMs: Infinity, sequence: 3 })), {
    heartbeat: { stale_ms: Number.MAX_SAFE_INTEGER, sequence: 3 },
  })
  t.deepEqual(response(encodeCaBundle(Buffer.from('pem'))), {
    ca_bundle: { pem: plain(Buffer.from('pem')) },
  })
  t.deepEqual(statusResponse(encodeReplicaStatus({ replica: 'r', version: '' })), {
    replica: { replica: 'r', version: '' },
  })
  t.deepEqual(
    statusResponse(
      encodePodStatus({
        podUid: 'u',
        podName: 'web-0',
        serviceAccount: 'web',
        nodeName: 'n',
        status: 'unavailable',
        unavailableReason: 'source',
        version: 'v',
        current: true,
        outcome: 'disk-full',
        acknowledgedMsAgo: 12.2,
        staleMs: 0,
      }),
    ),
    {
      pod: {
        pod_uid: 'u',
        pod_name: 'web-0',
        service_account: 'web',
        node_name: 'n',
        status: 'STATUS_UNAVAILABLE',
        unavailable_reason: 'UNAVAILABLE_REASON_SOURCE',
        version: 'v',
        current: true,
        outcome: 'OUTCOME_DISK_FULL',
        acknowledged_ms_ago: 13,
        stale_ms: 0,
      },
    },
  )
})

test('every reason, status and outcome has the number that the .proto gives it', (t) => {
  const screaming = (text: string): string => text.replaceAll('-', '_').toUpperCase()
  for (const reason of goodbyeReasons) {
    if (reason === 'unspecified') continue
    const goodbye = { reason, reconnectMinMs: 1, reconnectMaxMs: 2 }
    t.like(response(encodeGoodbye(goodbye)), {
      goodbye: {
        reason: `GOODBYE_REASON_${screaming(reason)}`,
        reconnect_min_ms: 1,
        reconnect_max_ms: 2,
      },
    })
  }
  for (const status of statuses) {
    for (const reason of unavailableReasons) {
      if (status === 'unspecified') continue
      const item = { secret: 'db', status, version: '', entries: [], reason }
      t.like(response(encodeSecretSet({ sequence: 1, version: 'v', items: [item] })), {
        secret_set: {
          items: [
            {
              status: `STATUS_${screaming(status)}`,
              unavailable_reason: `UNAVAILABLE_REASON_${screaming(reason)}`,
            },
          ],
        },
      })
    }
  }
  t.deepEqual(
    [goodbyeReasons.length, statuses.length, unavailableReasons.length, outcomes.length],
    [14, 5, 5, 8],
  )
})

test('a set is encoded as the library would, whatever its values', (t) => {
  const entry = fc.record({
    key: fc.stringMatching(/^[-_a-zA-Z0-9]{1,20}$/),
    value: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(70_000))),
  })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 6 }), fc.nat(2 ** 40), (entries, sequence) => {
      const items = [{ secret: 'db', status: 1, version: 'v', entries }]
      const ours = encodeSecretSet({
        sequence,
        version: 'set',
        items: [
          {
            secret: 'db',
            status: 'ready',
            version: 'v',
            entries: entries.map(({ key, value }) => ({ key, value: SecretBytes.copyOf(value) })),
            reason: 'unspecified',
          },
        ],
      })
      const theirs = deliver.responseSerialize({ secret_set: { sequence, version: 'set', items } })
      const meaning = (bytes: Buffer): string => JSON.stringify(response(bytes))
      return meaning(ours) === meaning(theirs)
    }),
    { numRuns: 100 },
  )
  t.pass()
})
