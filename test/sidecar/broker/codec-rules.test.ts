import test from 'ava'
import fc from 'fast-check'
import { utf8 } from '../../../src/base/bytes.ts'
import { isLatchkeyError } from '../../../src/base/errors.ts'
import { decodeMessage } from '../../../src/sidecar/broker/decode.ts'
import { deliverCodec, shownMessage } from '../../support/fake-broker.ts'
import type { WireMessage } from '../../support/fake-broker.ts'

test('values are copies: the message can be wiped', (t) => {
  const bytes = deliverCodec.responseSerialize({
    secret_set: {
      sequence: 1,
      version: 'v',
      items: [
        { secret: 's', status: 'STATUS_READY', entries: [{ key: 'k', value: utf8('hunter2') }] },
      ],
    },
  })
  const set = decodeMessage(bytes)
  bytes.fill(0)
  if (set.kind !== 'secret-set') return t.fail()
  t.is(Buffer.from(set.items[0]?.entries[0]?.value.expose() ?? []).toString(), 'hunter2')
})

test('an unknown status is no decision, an unknown kind and unknown fields are nothing', (t) => {
  t.like(shownMessage({ secret_set: { sequence: 1, version: 'v', items: [{ secret: 's' }] } }), {
    items: [{ status: 'unavailable' }],
  })
  const status99 = [0x1a, 11, 0x08, 1, 0x12, 1, 0x76, 0x1a, 4, 0x10, 99, 0x0a, 0]
  const set = decodeMessage(Uint8Array.from(status99))
  t.is(set.kind === 'secret-set' && set.items[0]?.status, 'unavailable')
  // Field 15 as a group of wire types: varint of ten bytes, fixed64, bytes, fixed32.
  const fields = [
    0x78,
    ...Array<number>(9).fill(0xff),
    1,
    0x79,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0x7a,
    1,
    0,
    0x7d,
    1,
    2,
    3,
    4,
  ]
  t.deepEqual(decodeMessage(Uint8Array.from(fields)), { kind: 'unknown' })
  t.deepEqual(decodeMessage(new Uint8Array()), { kind: 'unknown' })
})

const set = (items: readonly WireMessage[]): WireMessage => ({
  secret_set: { sequence: 1, version: 'v', items },
})
const ready = (entries: readonly WireMessage[]): WireMessage =>
  set([{ status: 'STATUS_READY', entries }])

for (const [what, message] of Object.entries<WireMessage>({
  'a key that climbs': ready([{ key: '../x', value: utf8('v') }]),
  'a key that is reserved': ready([{ key: '..data', value: utf8('v') }]),
  'a key that is a directory': ready([{ key: '.', value: utf8('v') }]),
  'an empty key': ready([{ key: '', value: utf8('v') }]),
  'a key with NUL': ready([{ key: 'a\0b', value: utf8('v') }]),
  'a key that is too long': ready([{ key: 'a'.repeat(254), value: utf8('v') }]),
  'a key twice': ready([
    { key: 'a', value: utf8('v') },
    { key: 'a', value: utf8('w') },
  ]),
  'a value over 1 MiB': ready([{ key: 'a', value: new Uint8Array(1_048_577) }]),
  'entries that are too many': ready(Array.from({ length: 10_001 }, (_, i) => ({ key: `k${i}` }))),
  'items that are too many': set(Array.from({ length: 129 }, () => ({ secret: 's' }))),
  'entries of a denied item': set([{ status: 'STATUS_DENIED', entries: [{ key: 'a' }] }]),
  'a set without a number': { secret_set: { version: 'v' } },
  'a set without a version': { secret_set: { sequence: 1 } },
  'a set with an odd version': { secret_set: { sequence: 1, version: 'a b' } },
  'a heartbeat interval of nothing': { accepted: { protocol_version: 1 } },
  'a heartbeat interval of an hour': { accepted: { heartbeat_interval_ms: 3_600_000 } },
  'a bundle that is too long': { ca_bundle: { pem: Buffer.alloc(131_073, 65) } },
})) {
  test(`refused: ${what}`, (t) => {
    const bytes = deliverCodec.responseSerialize(message)
    t.throws(() => decodeMessage(bytes), { code: 'ERR_BROKER_PROTOCOL' })
  })
}

test('what a replica calls itself is made fit for a log', (t) => {
  t.like(
    shownMessage({
      accepted: { heartbeat_interval_ms: 1000, replica: `a\n\u001b[31m${'x'.repeat(99)}` },
    }),
    {
      replica: `a??[31m${'x'.repeat(57)}`,
    },
  )
})

test('no bytes make the decoder throw anything but its own error', (t) => {
  const good = deliverCodec.responseSerialize(ready([{ key: 'a', value: utf8('value') }]))
  const damaged = fc
    .tuple(fc.nat(good.byteLength - 1), fc.nat(255), fc.nat(good.byteLength))
    .map(([at, byte, length]) => {
      const copy = Uint8Array.from(good.subarray(0, length))
      if (at < copy.byteLength) copy[at] = byte
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), (bytes) => {
      try {
        decodeMessage(bytes)
      } catch (error) {
        t.true(isLatchkeyError(error, 'ERR_BROKER_PROTOCOL'))
        if (isLatchkeyError(error)) t.notRegex(error.message, /value/)
      }
    }),
    { numRuns: 3000 },
  )
})
