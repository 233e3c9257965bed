import test from 'ava'
import fc from 'fast-check'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { splitLines } from '../../src/admin/audit/lines.ts'

async function linesOf(
  chunks: readonly Uint8Array[],
  maxBytes: number,
): Promise<readonly string[]> {
  const lines: string[] = []
  for await (const line of splitLines(
    Readable.from(chunks.map((it) => Buffer.from(it))),
    maxBytes,
  )) {
    lines.push(Buffer.from(line).toString('latin1'))
  }
  return lines
}

/** The text in pieces, cut wherever. */
function cut(text: Uint8Array, sizes: readonly number[]): readonly Uint8Array[] {
  const chunks: Uint8Array[] = []
  let at = 0
  for (const size of sizes) {
    if (at < text.byteLength) chunks.push(text.subarray(at, at + size))
    at += size
  }
  if (at < text.byteLength) chunks.push(text.subarray(at))
  return chunks
}

test('lines are the same however the file comes in pieces, compressed or not', async (t) => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 60 })
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(letters, sizes, async (text, pieces) => {
      const expected = text.split('\n')
      if (expected.at(-1) === '') expected.pop()
      const bytes = Buffer.from(text)
      t.deepEqual(await linesOf(cut(bytes, pieces), 100), expected)
      t.deepEqual(await linesOf(cut(gzipSync(bytes), pieces), 100), expected)
    }),
    { numRuns: 200 },
  )
})

test('a line beyond the bound comes cut, one byte longer than the bound, and others whole', async (t) => {
  const text = Buffer.from(`short\n${'x'.repeat(1_000)}\nlast`)
  for (const pieces of [[], [3, 10, 200], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]) {
    t.deepEqual(await linesOf(cut(text, pieces), 10), ['short', 'x'.repeat(11), 'last'])
  }
})
