import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../../src/base/secret.ts'
import { encodeMessage } from '../../../src/sidecar/broker/encode.ts'
import {
  goodbyeReasons,
  outcomes,
  unavailableReasons,
} from '../../../src/sidecar/broker/messages.ts'
import type { Outcome } from '../../../src/sidecar/broker/messages.ts'
import { deliverCodec, shownMessage } from '../../support/fake-broker.ts'

// Our codec against protobufjs on the real proto file, in both directions.

const upper = (word: string): string => word.toUpperCase().replaceAll('-', '_')
const key = fc.stringMatching(/^[a-zA-Z0-9_-][-._a-zA-Z0-9]{0,20}$/)
const count = fc.oneof(fc.nat(), fc.maxSafeNat())

test('what a sidecar says, a broker understands', (t) => {
  const token = fc.uint8Array({ minLength: 1, maxLength: 300 })
  const open = fc.record({
    token,
    references: fc.array(
      fc.record({ secret: fc.string(), keys: fc.array(key, { maxLength: 5 }) }),
      { maxLength: 5 },
    ),
    instance: fc.uint8Array({ maxLength: 16 }),
    planDigest: fc.string(),
    client: fc.string(),
  })
  fc.assert(
    fc.property(open, (message) => {
      const bytes = encodeMessage({
        ...message,
        kind: 'open',
        token: SecretBytes.copyOf(message.token),
      })
      const understood = deliverCodec.requestDeserialize(Buffer.from(bytes))
      t.like(understood, { message: 'open' })
      t.deepEqual(understood['open'], {
        protocol_version: 1,
        token: Buffer.from(message.token),
        references: message.references,
        instance: Buffer.from(message.instance),
        plan_digest: message.planDigest,
        client: message.client,
      })
    }),
  )
  fc.assert(
    fc.property(token, (bytes) => {
      const message = { kind: 'token-refresh', token: SecretBytes.copyOf(bytes) } as const
      const understood = deliverCodec.requestDeserialize(Buffer.from(encodeMessage(message)))
      t.deepEqual(understood['token_refresh'], { token: Buffer.from(bytes) })
    }),
  )
  const outcome = fc.constantFrom(...(Object.keys(outcomes) as Outcome[]))
  const words = fc.string()
  fc.assert(
    fc.property(count, words, outcome, words, (sequence, version, each, secret) => {
      const bytes = encodeMessage({
        kind: 'acknowledgement',
        sequence,
        version,
        outcome: each,
        secret,
      })
      t.deepEqual(deliverCodec.requestDeserialize(Buffer.from(bytes))['acknowledgement'], {
        sequence,
        version,
        outcome: `OUTCOME_${upper(each)}`,
        secret,
      })
    }),
  )
})

test('an empty member of the oneof is still that member', (t) => {
  const bytes = encodeMessage({
    kind: 'token-refresh',
    token: SecretBytes.take(new Uint8Array()),
  })
  t.is(deliverCodec.requestDeserialize(Buffer.from(bytes))['message'], 'token_refresh')
})

test('what a broker says, a sidecar understands', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 60_000 }),
      fc.stringMatching(/^[ -~]{0,64}$/),
      (interval, replica) => {
        t.deepEqual(
          shownMessage({
            accepted: { protocol_version: 1, heartbeat_interval_ms: interval, replica },
          }),
          { kind: 'accepted', protocolVersion: 1, heartbeatIntervalMs: interval, replica },
        )
      },
    ),
  )
  fc.assert(
    fc.property(count, count, (stale, sequence) => {
      t.deepEqual(shownMessage({ heartbeat: { stale_ms: stale, sequence } }), {
        kind: 'heartbeat',
        staleMs: stale,
        sequence,
      })
    }),
  )
  t.deepEqual(shownMessage({ ca_bundle: { pem: Buffer.from('PEM') } }), {
    kind: 'ca-bundle',
    pem: 'PEM',
  })
  for (const reason of goodbyeReasons) {
    const goodbye = {
      reason: `GOODBYE_REASON_${upper(reason)}`,
      reconnect_min_ms: 5,
      reconnect_max_ms: 9,
    }
    t.deepEqual(shownMessage({ goodbye }), {
      kind: 'goodbye',
      reason,
      reconnectMinMs: 5,
      reconnectMaxMs: 9,
    })
  }
})

test('sets arrive with every byte of their values', (t) => {
  const entries = fc.uniqueArray(fc.record({ key, value: fc.uint8Array({ maxLength: 50 }) }), {
    maxLength: 6,
    selector: (each) => each.key,
  })
  const item = fc.oneof(
    fc.record({ secret: key, entries }).map((each) => ({
      wire: {
        secret: each.secret,
        status: 'STATUS_READY',
        version: 'v',
        entries: each.entries.map((it) => ({ key: it.key, value: Buffer.from(it.value) })),
      },
      ours: {
        secret: each.secret,
        status: 'ready',
        version: 'v',
        entries: each.entries.map((it) => [it.key, Buffer.from(it.value).toString('hex')]),
        unavailableReason: 'unspecified',
      },
    })),
    fc
      .record({
        secret: key,
        status: fc.constantFrom('denied', 'not-found'),
      })
      .map((each) => ({
        wire: { secret: each.secret, status: `STATUS_${upper(each.status)}` },
        ours: { ...each, version: '', entries: [], unavailableReason: 'unspecified' },
      })),
    fc.record({ secret: key, reason: fc.constantFrom(...unavailableReasons) }).map((each) => ({
      wire: {
        secret: each.secret,
        status: 'STATUS_UNAVAILABLE',
        unavailable_reason: `UNAVAILABLE_REASON_${upper(each.reason)}`,
      },
      ours: {
        secret: each.secret,
        status: 'unavailable',
        version: '',
        entries: [],
        unavailableReason: each.reason,
      },
    })),
  )
  fc.assert(
    fc.property(fc.array(item, { maxLength: 6 }), fc.integer({ min: 1 }), (items, sequence) => {
      const set = { sequence, version: 'abc-_9', items: items.map(({ wire }) => wire) }
      t.deepEqual(shownMessage({ secret_set: set }), {
        kind: 'secret-set',
        sequence,
        version: 'abc-_9',
        items: items.map(({ ours }) => ours),
      })
    }),
    { numRuns: 300 },
  )
})
