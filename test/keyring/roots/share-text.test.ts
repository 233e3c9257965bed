import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../../src/base/secret.ts'
import { decodeShares, encodeShare, type Share } from '../../../src/keyring/roots/share-text.ts'
import { readShare } from '../../support/share-reader.ts'

const arbitraryShare = fc
  .record({
    group: fc.stringMatching(/^[0-9a-f]{16}$/),
    count: fc.integer({ min: 2, max: 32 }),
    threshold: fc.integer({ min: 2, max: 32 }),
    index: fc.integer({ min: 1, max: 32 }),
    y: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    x: fc.integer({ min: 1, max: 255 }),
  })
  .map(({ y, x, count, threshold, index, group }) => ({
    group,
    count,
    threshold: Math.min(threshold, count),
    index: Math.min(index, count),
    secret: SecretBytes.take(Uint8Array.of(...y, x)),
  }))

const plain = ({ secret, ...rest }: Share): unknown => ({ ...rest, secret: [...secret.expose()] })
const textOf = (share: Share): string => Buffer.from(encodeShare(share).expose()).toString('utf8')
const read = (text: string): readonly Share[] =>
  decodeShares(SecretBytes.take(Uint8Array.from(Buffer.from(text))), 'a file')

const example: Share = {
  group: '0123456789abcdef',
  threshold: 3,
  count: 5,
  index: 2,
  secret: SecretBytes.take(Uint8Array.from({ length: 33 }, (_, at) => (at * 37 + 11) & 255)),
}

test('any share can be read again, here and by the second implementation', (t) => {
  fc.assert(
    fc.property(arbitraryShare, (share) => {
      const text = textOf(share)
      t.deepEqual(read(text).map(plain), [plain(share)])
      const { x, y, ...rest } = readShare(text)
      t.deepEqual({ ...rest, secret: [...y, x] }, plain(share) as object)
      for (const line of text.split('\n')) t.true(line.length <= 80 && /^[ -~]*$/.test(line))
    }),
  )
})

test('what was typed off by hand is read: case, blanks, hyphens, likenesses, line ends, comments', (t) => {
  const text = textOf(example)
  const [, ...lines] = text.split('\n').filter((line) => !line.startsWith('#'))
  const variants = [
    text.toLowerCase(),
    text.replaceAll('\n', '\r\n'),
    text.trimEnd(),
    ['latchkey-share/1', ...lines.map((line) => line.replaceAll(' ', ''))].join('\n'),
    ['latchkey-share/1', ...lines.map((line) => line.replaceAll(' ', '-'))].join('\n\n# x\n'),
    ['  latchkey-share/1', ...lines.map((line) => `\t ${line} `)].join('\n'),
    [
      'latchkey-share/1',
      ...lines.map(
        (line) => line.slice(0, 1) + line.slice(1).replaceAll('0', 'o').replaceAll('1', 'l'),
      ),
    ].join('\n'),
  ]
  for (const variant of variants) t.deepEqual(read(variant).map(plain), [plain(example)])
})

test('several shares may stand in one text', (t) => {
  const other = { ...example, index: 3 }
  t.deepEqual(read(`${textOf(example)}\n${textOf(other)}`).map(plain), [
    plain(example),
    plain(other),
  ])
})

test('every mistyped symbol is found, and its line is named', (t) => {
  const lines = textOf(example).split('\n')
  let tried = 0
  for (const [row, line] of lines.entries()) {
    if (!/^[1-4]/.test(line)) continue
    for (let column = 0; column < line.length; column += 1) {
      const symbol = line[column] ?? ' '
      if (symbol === ' ') continue
      const another = symbol === 'Z' ? '7' : 'Z'
      const mistyped = [...lines]
      mistyped[row] = line.slice(0, column) + another + line.slice(column + 1)
      const error = t.throws(() => read(mistyped.join('\n')), { code: 'ERR_SHARE_INVALID' })
      t.true(error.message.startsWith(`a file, line ${row + 1}: `), error.message)
      tried += 1
    }
  }
  t.is(tried, 4 * 23)
})

test('two neighbours that changed places are found too', (t) => {
  const lines = textOf(example).split('\n')
  for (const [row, line] of lines.entries()) {
    if (!/^[1-4]/.test(line)) continue
    const symbols = line.slice(1).replaceAll(' ', '')
    for (let at = 0; at + 1 < symbols.length; at += 1) {
      const [one = '', two = ''] = symbols.slice(at, at + 2)
      if (one === two) continue
      const swapped = `${symbols.slice(0, at)}${two}${one}${symbols.slice(at + 2)}`
      const typed = lines.with(row, `${line.slice(0, 1)} ${swapped}`).join('\n')
      const error = t.throws(() => read(typed), { code: 'ERR_SHARE_INVALID' })
      t.true(error.message.startsWith(`a file, line ${row + 1}: `), error.message)
    }
  }
})

test('lines that are missing, doubled, swapped, too long, and texts that are no share, are refused', (t) => {
  const lines = textOf(example).split('\n')
  const at = lines.findIndex((line) => line.startsWith('1'))
  const refused = [
    '',
    'hunter2',
    '# nothing',
    'latchkey-share/1',
    'latchkey-share/2\n1 A',
    'latchkey-keyring/1 400',
    lines.filter((_, row) => row !== at).join('\n'),
    lines.slice(0, at + 3).join('\n'),
    lines.toSpliced(at, 0, lines[at] ?? '').join('\n'),
    lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? '').join('\n'),
    lines.toSpliced(at, 1, `${lines[at] ?? ''}A`).join('\n'),
    lines.toSpliced(at, 1, lines[at]?.slice(0, -1) ?? '').join('\n'),
    lines.toSpliced(at, 1, lines[at]?.replace(/.$/, 'ä') ?? '').join('\n'),
    `${lines.slice(0, at + 2).join('\n')}\n${textOf(example)}`,
  ]
  for (const text of refused) {
    const error = t.throws(() => read(text), { code: 'ERR_SHARE_INVALID' }, text)
    t.false(error.message.includes('hunter2'))
  }
})
