import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import test from 'ava'
import fc from 'fast-check'
import { v1beta1, v2 } from '../../src/kms/messages.ts'
import { readFields, writeFields } from '../../src/kms/protobuf.ts'

// Held against the upstream .proto files, as proto-loader reads them.
const types = loadSync(
  ['v2', 'v1beta1'].map(
    (name) => new URL(`../../proto/kms/${name}/api.proto`, import.meta.url).pathname,
  ),
  { keepCase: true, defaults: true },
)
type Upstream = MessageTypeDefinition<object, Record<string, unknown>>
const upstream = (name: string) => {
  const definition = types[name] as Upstream
  return {
    write: (value: object): Buffer => definition.serialize(value),
    read: (bytes: Buffer) => definition.deserialize(bytes),
  }
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const text = fc.string({ unit: 'binary', maxLength: 200 })
const annotations = fc.dictionary(fc.string({ minLength: 1, maxLength: 40 }), bytes, { maxKeys: 5 })
const runs = { numRuns: process.env['SLOW'] === '1' ? 5000 : 200 }

test('requests written by others are read', (t) => {
  const decryptRequest = upstream('v2.DecryptRequest')
  const encryptRequest = upstream('v2.EncryptRequest')
  t.notThrows(() => {
    fc.assert(
      fc.property(bytes, text, text, annotations, (ciphertext, uid, keyId, extra) => {
        const message = decryptRequest.write({
          ciphertext,
          uid,
          key_id: keyId,
          annotations: extra,
        })
        const read = v2.readDecryptRequest(message)
        return (
          read.ciphertext.equals(ciphertext) &&
          read.uid === uid &&
          read.keyId === keyId &&
          read.annotations === Object.keys(extra).length
        )
      }),
      runs,
    )
    fc.assert(
      fc.property(bytes, text, (plaintext, uid) => {
        const read = v2.readEncryptRequest(encryptRequest.write({ plaintext, uid }))
        return read.plaintext.equals(plaintext) && read.uid === uid
      }),
      runs,
    )
    fc.assert(
      fc.property(bytes, text, (value, version) => {
        const encrypt = upstream('v1beta1.EncryptRequest').write({ version, plain: value })
        const decrypt = upstream('v1beta1.DecryptRequest').write({ version, cipher: value })
        return (
          v1beta1.readRequest(encrypt).equals(value) && v1beta1.readRequest(decrypt).equals(value)
        )
      }),
      runs,
    )
  })
})

test('answers are read by others', (t) => {
  t.deepEqual(
    upstream('v2.StatusResponse').read(v2.writeStatusResponse({ healthz: 'ok', keyId: 'lk1' })),
    { version: 'v2', healthz: 'ok', key_id: 'lk1' },
  )
  t.deepEqual(upstream('v1beta1.VersionResponse').read(v1beta1.writeVersionResponse('1.2.3')), {
    version: 'v1beta1',
    runtime_name: 'latchkey',
    runtime_version: '1.2.3',
  })
  t.notThrows(() => {
    fc.assert(
      fc.property(bytes, text, (ciphertext, keyId) => {
        const read = upstream('v2.EncryptResponse').read(
          v2.writeEncryptResponse({ ciphertext, keyId }),
        )
        return (
          ciphertext.equals(read['ciphertext'] as Buffer) &&
          read['key_id'] === keyId &&
          Object.keys(read['annotations'] as object).length === 0
        )
      }),
      runs,
    )
    fc.assert(
      fc.property(bytes, (value) => {
        const plaintext = upstream('v2.DecryptResponse').read(v2.writeDecryptResponse(value))
        const plain = upstream('v1beta1.DecryptResponse').read(v1beta1.writeResponse(value))
        const cipher = upstream('v1beta1.EncryptResponse').read(v1beta1.writeResponse(value))
        return [plaintext['plaintext'], plain['plain'], cipher['cipher']].every((it) =>
          value.equals(it as Buffer),
        )
      }),
      runs,
    )
  })
})

test('our bytes are the bytes that others write', (t) => {
  const value = Buffer.alloc(200, 7)
  t.deepEqual(
    v2.writeEncryptResponse({ ciphertext: value, keyId: 'lk1.1.x' }),
    upstream('v2.EncryptResponse').write({ ciphertext: value, key_id: 'lk1.1.x' }),
  )
  t.deepEqual(writeFields([]), Buffer.alloc(0))
})

test('fields of later versions are skipped, doublets overwrite', (t) => {
  const message = Buffer.concat([
    Buffer.from([0x50, 0x96, 0x01]), // 10: varint 150
    Buffer.from([0x59, 1, 2, 3, 4, 5, 6, 7, 8]), // 11: 64 bits
    Buffer.from([0x65, 1, 2, 3, 4]), // 12: 32 bits
    Buffer.from([0x08, 0x01]), // 1 as a varint: another type than ours
    writeFields([
      [1, 'old'],
      [1, 'new'],
      [15, 'unknown'],
    ]),
  ])
  const read = v2.readEncryptRequest(message)
  t.is(read.plaintext.toString(), 'new')
})

const malformed: Record<string, readonly number[]> = {
  'a length beyond the end': [0x0a, 0x05, 1, 2],
  'a length without end': [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
  'a huge length': [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  'a cut tag': [0x80],
  'a cut varint': [0x08, 0x80],
  'a cut 64-bit field': [0x09, 1, 2],
  'a cut 32-bit field': [0x0d, 1, 2],
  'field number 0': [0x02, 0x00],
  'a field number beyond the last': [0xfa, 0xff, 0xff, 0xff, 0x7f, 0x00],
  'a group': [0x0b, 0x0c],
  'wire type 7': [0x0f, 0x00],
}
for (const [what, octets] of Object.entries(malformed)) {
  test(`${what} is no message`, (t) => {
    t.throws(() => readFields(Buffer.from(octets)), { code: 'ERR_MESSAGE_INVALID' })
  })
}

test('text that is not UTF-8 is no message', (t) => {
  const message = writeFields([[2, Uint8Array.of(0xff, 0xfe)]])
  t.throws(() => v2.readEncryptRequest(message), { code: 'ERR_MESSAGE_INVALID' })
})

test('any bytes are read or refused, in time that follows their length', (t) => {
  t.notThrows(() => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (array) => {
        try {
          readFields(Buffer.from(array))
        } catch (error) {
          return (error as { code?: string }).code === 'ERR_MESSAGE_INVALID'
        }
        return true
      }),
      runs,
    )
  })
})
