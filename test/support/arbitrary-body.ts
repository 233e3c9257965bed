import fc from 'fast-check'
import { rfc3339 } from '../../src/base/clock.ts'
import { toBase64Url } from '../../src/base/bytes.ts'
import type { DocumentBody, KeyRecord, Slot } from '../../src/keyring/document.ts'
import { keyStates } from '../../src/keyring/key.ts'

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toBase64Url)
const time = fc.integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }).map(rfc3339)
const generation = fc.integer({ min: 1, max: 9_999_999_999 })
const clusterId = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/)
const digest = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => `sha256:${Buffer.from(bytes).toString('hex')}`)
const wrapped = fc.uint8Array({ maxLength: 90 })

const params = fc.dictionary(
  fc.stringMatching(/^[a-z][A-Za-z0-9]{0,31}$/),
  fc.oneof(fc.maxSafeInteger(), fc.string({ unit: 'grapheme-ascii', maxLength: 40 })),
  // A null prototype does not survive JSON, and an own __proto__ is no valid name anyway.
  { maxKeys: 5, noNullPrototype: true },
)

const slot: fc.Arbitrary<Slot> = fc.record({
  id,
  type: fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/),
  createdAt: time,
  params,
  wrapped,
})

const key: fc.Arbitrary<KeyRecord> = fc
  .record({
    id: fc.tuple(generation, id).map(([born, tail]) => `lk1.${born}.${tail}`),
    clusterId,
    state: fc.constantFrom(...keyStates.filter((state) => state !== 'active')),
    createdAt: time,
    changedAt: time,
    wrapped,
  })
  .map((record) => ({
    ...record,
    wrapped: record.state === 'destroyed' ? undefined : record.wrapped,
  }))

/** Any body that a document may have. */
export const arbitraryBody: fc.Arbitrary<DocumentBody> = fc
  .record({
    keyringId: id,
    clusterId,
    generation,
    createdAt: time,
    ancestors: fc.array(digest, { maxLength: 64 }),
    slots: fc.uniqueArray(slot, { minLength: 1, maxLength: 4, selector: (one) => one.id }),
    keys: fc.uniqueArray(key, { minLength: 1, maxLength: 6, selector: (one) => one.id }),
    active: fc.nat(),
    material: wrapped,
  })
  .map(({ active, material, ...body }) => {
    let staged = 0
    const keys = body.keys.map((record, index): KeyRecord => {
      if (index === active % body.keys.length) {
        return { ...record, state: 'active', wrapped: material }
      }
      if (record.state === 'staged' && staged++ > 0) return { ...record, state: 'retired' }
      return record
    })
    return { ...body, keys }
  })
