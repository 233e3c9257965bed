import { markOf } from '../../../src/keyring/load.ts'
import { encodeHighWater } from '../../../src/keyring/stores/high-water.ts'
import { makeDocuments } from './documents.ts'
import { makeEnvelopes, makeFrames, makeSlots } from './primitives.ts'
import { makeRefusals } from './refusals.ts'
import { text } from './shape.ts'

/** Every vector file, by name, as the value that its JSON holds. */
export type VectorFiles = Readonly<Record<string, unknown>>

/** Makes every vector anew: the same bytes each time. */
export async function makeVectors(): Promise<VectorFiles> {
  const documents = await makeDocuments()
  return {
    'frames.json': makeFrames(),
    'envelopes.json': makeEnvelopes(),
    'slots.json': await makeSlots(),
    'documents.json': documents.map(({ vector }) => vector),
    'refusals.json': makeRefusals(documents.map(({ vector }) => vector)),
    'high-water.json': documents
      .filter(({ vector }) => vector.kind === 'keyring')
      .map(({ vector, keyring }) => ({
        title: vector.title,
        document: vector.document,
        highWater: text(encodeHighWater(markOf(keyring))),
      })),
  }
}

/** The text of a vector file. */
export function printVectors(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}
