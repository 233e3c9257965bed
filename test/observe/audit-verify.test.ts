import test from 'ava'
import fc from 'fast-check'
import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createAuditKey, parseAuditKey } from '../../src/observe/audit-key.ts'
import {
  encodeLine,
  exportPublicKey,
  hashLine,
  parseLine,
  signCheckpoint,
  type AuditHead,
} from '../../src/observe/audit-record.ts'
import { verifyAudit, type AuditReport } from '../../src/observe/audit-verify.ts'

const key = createAuditKey()
const publicKey = exportPublicKey(key)

/** Lines of a chain: `.` is an event, `C` a checkpoint, `F` a final one. */
function chain(
  id: string,
  shape: string,
  options: { readonly after?: AuditHead | null; readonly signer?: typeof key } = {},
): Buffer[] {
  const signer = options.signer ?? key
  const lines: Buffer[] = []
  for (const [seq, letter] of ['b', ...shape.split('')].entries()) {
    const last = lines.at(-1)
    const line = {
      chain: id.padEnd(22, id),
      seq,
      time: '2026-01-02T03:04:05.678Z',
      prev: last === undefined ? '' : hashLine(last),
      event: letter === 'b' ? 'audit.begin' : letter === '.' ? 'stream.end' : 'audit.checkpoint',
    }
    const fields =
      letter === 'b'
        ? { format: 1, key: exportPublicKey(signer), after: options.after ?? null }
        : letter === '.'
          ? { outcome: 'done' }
          : letter === 'F'
            ? { final: true, sig: signCheckpoint(line, signer, 'final') }
            : { sig: signCheckpoint(line, signer, 'goes-on') }
    lines.push(encodeLine(line, fields))
  }
  return lines
}

function headOf(lines: readonly Buffer[], index = lines.length - 1): AuditHead {
  const line = lines[index] ?? Buffer.alloc(0)
  const parsed = parseLine(line)
  if (parsed === undefined) throw new Error('no line')
  return { chain: parsed.line.chain, seq: parsed.line.seq, hash: hashLine(line) }
}

const kinds = (report: AuditReport): readonly string[] => report.problems.map(({ kind }) => kind)

for (const [name, title] of [
  ['two-runs', 'the file of a run, a crash and another run, as release 0.1.0 wrote it'],
  ['ended', 'the file of a run that ended in order'],
] as const) {
  test(`vectors: ${title} is what it is said to be`, async (t) => {
    const vector = (suffix: string): Promise<string> =>
      readFile(new URL(`../vectors/audit/${name}.${suffix}`, import.meta.url), 'latin1')
    const lines = (await vector('jsonl')).split('\n').map((line) => Buffer.from(line, 'latin1'))
    t.true(lines.length > 3)
    const report: unknown = JSON.parse(JSON.stringify(verifyAudit(lines)))
    t.deepEqual(report, JSON.parse(await vector('report.json')))
  })
}

test('an untouched chain has no problems, and its tail after the checkpoint is unanchored', (t) => {
  const report = verifyAudit(chain('a', '..C..'))
  t.deepEqual(report.problems, [])
  t.like(report.chains[0], { lines: 6, unanchored: 2, ended: false, key: publicKey })
  t.like(verifyAudit(chain('a', '..F')).chains[0], { unanchored: 0, ended: true })
  t.deepEqual(verifyAudit([]), { chains: [], problems: [], torn: [] })
})

test('an edited line is found, even when every line after it was made to fit', (t) => {
  const lines = chain('a', '...C.')
  const edited = Buffer.from(lines[2]?.toString().replace('done', 'DONE') ?? '')
  t.deepEqual(kinds(verifyAudit(lines.with(2, edited))), ['edited'])
  // The forger recomputes what can be recomputed without the key.
  const forged = lines.with(2, edited)
  for (let i = 3; i < forged.length; i += 1) {
    const { line, fields } = parseLine(forged[i] ?? Buffer.alloc(0)) ?? t.fail('no line')
    forged[i] = encodeLine({ ...line, prev: hashLine(forged[i - 1] ?? Buffer.alloc(0)) }, fields)
  }
  t.deepEqual(kinds(verifyAudit(forged)), ['bad-signature'])
})

test('removed, repeated and swapped lines are found', (t) => {
  const lines = chain('a', '.....C')
  t.deepEqual(kinds(verifyAudit(lines.toSpliced(2, 1))), ['gap'])
  t.deepEqual(kinds(verifyAudit(lines.toSpliced(2, 0, lines[2] ?? Buffer.alloc(0)))), ['reordered'])
  const swapped = lines.with(2, lines[3] ?? Buffer.alloc(0)).with(3, lines[2] ?? Buffer.alloc(0))
  t.deepEqual(kinds(verifyAudit(swapped)), ['gap', 'reordered', 'gap'])
})

test('a cut is found by a head from elsewhere, and by the next chain', (t) => {
  const first = chain('a', '..C..')
  t.deepEqual(kinds(verifyAudit(first.slice(0, 3))), [])
  t.deepEqual(kinds(verifyAudit(first.slice(0, 3), { keys: [], heads: [headOf(first, 3)] })), [
    'head-missing',
  ])
  t.deepEqual(kinds(verifyAudit(first, { keys: [], heads: [headOf(first, 3)] })), [])
  const second = chain('b', '.C', { after: headOf(first) })
  t.deepEqual(kinds(verifyAudit([...first, ...second])), [])
  t.deepEqual(kinds(verifyAudit([...first.slice(0, -1), ...second])), ['cut'])
  t.false(verifyAudit(second).chains[0]?.afterShown)
})

test('no checkpoint can be made to look like the one of an orderly end, nor the other way round', (t) => {
  const altered = (lines: readonly Buffer[], fields: (now: object) => object): Buffer[] => {
    const found = parseLine(lines.at(-1) ?? Buffer.alloc(0)) ?? t.fail('no line')
    return lines.with(-1, encodeLine(found.line, fields(found.fields)))
  }
  const cut = altered(chain('a', '..C'), (fields) => ({ final: true, ...fields }))
  t.like(verifyAudit(cut).chains[0], { unanchored: 0, ended: false })
  const reopened = altered(chain('a', '..F'), ({ sig }: { sig?: string }) => ({ sig }))
  t.deepEqual(kinds(verifyAudit(reopened)), ['bad-signature'])
})

test('without its first line a chain is held against every key that is known', (t) => {
  const rest = chain('a', '..C').slice(1)
  const other = exportPublicKey(createAuditKey())
  t.like(verifyAudit(rest).chains[0], { unanchored: 3, firstSeq: 1 })
  const known = verifyAudit(rest, { keys: [other, publicKey], heads: [] })
  t.deepEqual(known.problems, [])
  t.like(known.chains[0], { unanchored: 0 })
  t.deepEqual(kinds(verifyAudit(rest, { keys: [other], heads: [] })), ['bad-signature'])
})

test('a chain made up with another key is found when the right key, or a head, is known', (t) => {
  const other = createAuditKey()
  const made = chain('a', '..C', { signer: other })
  t.deepEqual(kinds(verifyAudit(made)), [])
  t.deepEqual(kinds(verifyAudit(made, { keys: [publicKey], heads: [] })), ['unknown-key'])
  const true_ = chain('a', '..C')
  t.deepEqual(kinds(verifyAudit(made, { keys: [], heads: [headOf(true_)] })), ['edited'])
})

test('chains of two processes in one file do not disturb each other', (t) => {
  const [a, b] = [chain('a', '..C'), chain('b', '..C')]
  const mixed = a.flatMap((line, i) => [line, b[i] ?? Buffer.alloc(0)])
  const report = verifyAudit(mixed)
  t.deepEqual(report.problems, [])
  t.is(report.chains.length, 2)
})

test('lines that are none are torn, whatever they hold', (t) => {
  const lines = chain('a', '.C')
  const junk = [
    '{"chain":"x',
    'null',
    '[]',
    '1',
    '{}',
    '\xff\xfe',
    `{"chain":"${'a'.repeat(22)}","seq":-1}`,
  ]
  const report = verifyAudit([...junk.map((text) => Buffer.from(text, 'latin1')), ...lines])
  t.deepEqual(report.torn, [1, 2, 3, 4, 5, 6, 7])
  t.deepEqual(report.problems, [])
})

test('any single change of a byte before a checkpoint is found', (t) => {
  const lines = chain('a', '..C')
  const text = Buffer.concat(lines.flatMap((line) => [line, Buffer.of(10)]))
  fc.assert(
    fc.property(fc.nat(text.byteLength - 2), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const altered = Buffer.from(text)
      altered[at] = (altered[at] ?? 0) ^ flip
      const split = altered
        .toString('latin1')
        .split('\n')
        .map((line) => Buffer.from(line, 'latin1'))
      const { problems, torn, chains } = verifyAudit(split, {
        keys: [publicKey],
        heads: [headOf(lines)],
      })
      return problems.length + torn.length > 0 || chains.length !== 1
    }),
    { numRuns: process.env['SLOW'] === undefined ? 300 : 20_000 },
  )
  t.pass()
})

test('an audit key is Ed25519 in PEM, and nothing of another is quoted', (t) => {
  const pem = key.export({ format: 'pem', type: 'pkcs8' })
  t.is(exportPublicKey(parseAuditKey(Buffer.from(pem))), publicKey)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  for (const wrong of [privateKey.export({ format: 'pem', type: 'pkcs8' }), 'secret words', '']) {
    const error = t.throws(() => parseAuditKey(Buffer.from(wrong)), { code: 'ERR_AUDIT_KEY' })
    t.is(error.cause, undefined)
  }
})
