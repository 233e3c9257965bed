import test from 'ava'
import { SecretBytes } from '../../../src/base/secret.ts'
import { decodeShares } from '../../../src/keyring/roots/share-text.ts'
import { sharesRoot, splitRoot, type GivenShare } from '../../../src/keyring/roots/shares.ts'
import type { WrappedByRoot } from '../../../src/keyring/root.ts'
import { deps } from '../../support/keyrings.ts'
import { interpolate, joinShares, readShare, sharesSlot } from '../../support/share-reader.ts'

const context = Buffer.from('backup and slot')
const secret = SecretBytes.take(deps.random(32))

interface Split {
  readonly slot: WrappedByRoot
  readonly shares: readonly GivenShare[]
  readonly texts: readonly string[]
}

async function split(count: number, threshold: number): Promise<Split> {
  const made = await splitRoot({ count, threshold }, deps)
  const slot = await made.root.wrap(secret, context)
  t0(slot)
  const texts = made.shares.map(({ text }) => Buffer.from(text.expose()).toString('utf8'))
  const shares = made.shares.flatMap(({ text, index }) =>
    decodeShares(text, `${index}`).map((share) => ({ ...share, source: `file-${index}` })),
  )
  return { slot, shares, texts }
}

/** A slot's parameters fit into a document. */
function t0({ params }: WrappedByRoot): void {
  for (const value of Object.values(params)) {
    if (typeof value === 'string' && value.length > 1024) throw new Error('too long for a slot')
  }
}

function subsets<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]]
  if (items.length < size) return []
  return items.flatMap((item, at) =>
    subsets(items.slice(at + 1), size - 1).map((rest) => [item, ...rest]),
  )
}

const root = (
  shares: readonly GivenShare[],
  warned: string[] = [],
): ReturnType<typeof sharesRoot> => sharesRoot(shares, { warn: (line) => warned.push(line) })

for (const [count, threshold] of [
  [5, 3],
  [2, 2],
  [4, 2],
  [6, 6],
  [32, 31],
] as const) {
  test(`${threshold} of ${count}: every so many shares join, and no fewer do`, async (t) => {
    const { slot, shares } = await split(count, threshold)
    for (const some of subsets(shares, threshold)) {
      const opened = await root(some.toReversed()).unwrap(slot, context)
      t.deepEqual(opened?.expose(), secret.expose())
    }
    for (const few of subsets(shares, threshold - 1).slice(0, 500)) {
      const error = await t.throwsAsync(root(few).unwrap(slot, context), {
        code: 'ERR_SHARES_TOO_FEW',
      })
      t.true(error.message.startsWith(`${threshold - 1} of the ${threshold} shares`))
    }
    t.deepEqual((await root(shares).unwrap(slot, context))?.expose(), secret.expose())
  })
}

test('the second implementation joins the same root and finds the same commitment and checks', async (t) => {
  const { slot, texts } = await split(5, 3)
  const shares = texts.map(readShare)
  const roots = subsets(shares, 3).map((some) => joinShares(some).toString('hex'))
  t.is(new Set(roots).size, 1)
  const joined = joinShares(shares.slice(0, 3))
  const { commitment, checks } = sharesSlot(joined, shares, String(slot.params['salt']))
  t.like(slot.params, { commitment, checks, group: shares[0]?.group, shares: 5, threshold: 3 })
  // With five points the polynomial is still of degree two: no share is off it.
  t.deepEqual(joinShares(shares), joined)
})

test('two of three shares go with every root alike', async (t) => {
  const { texts } = await split(5, 3)
  const [one, two, three] = texts.map(readShare)
  if (one === undefined || two === undefined || three === undefined) throw new Error('unreachable')
  const known = [one, two].map(({ x, y }) => ({ x, y: y.readUInt8(0) }))
  const found = new Set<number>()
  for (let third = 0; third < 256; third += 1) {
    found.add(interpolate([...known, { x: three.x, y: third }], 0))
  }
  t.is(found.size, 256)
})

test('a foreign and an altered share are named; where enough are left, that is a warning', async (t) => {
  const { slot, shares } = await split(5, 3)
  const [one, two, three, four] = shares
  const [stranger] = (await split(5, 3)).shares
  if (!one || !two || !three || !four || !stranger) throw new Error('unreachable')
  const foreign = { ...stranger, source: 'usb/stranger' }
  const bytes = Uint8Array.from(two.secret.expose())
  bytes[7] = (bytes[7] ?? 0) ^ 1
  const altered = { ...two, source: 'usb/altered', secret: SecretBytes.take(bytes) }
  const renumbered = { ...two, index: 5, source: 'usb/renumbered' }

  for (const [bad, code, message] of [
    [foreign, 'ERR_SHARE_FOREIGN', /share 1 of group [0-9a-f]{16} \(usb\/stranger\) belongs to/],
    [altered, 'ERR_SHARE_WRONG', /share 2 of group [0-9a-f]{16} \(usb\/altered\) is not as/],
    [renumbered, 'ERR_SHARE_WRONG', /share 5 of group [0-9a-f]{16} \(usb\/renumbered\) is not as/],
    [one, 'ERR_SHARES_TOO_FEW', /share 1 of group [0-9a-f]{16} \(file-1\) was given already/],
  ] as const) {
    const refused = root([one, bad, three]).unwrap(slot, context)
    await t.throwsAsync(refused, { code, message })
    const warned: string[] = []
    const opened = await root([one, bad, three, four], warned).unwrap(slot, context)
    t.deepEqual(opened?.expose(), secret.expose())
    t.is(warned.length, 1)
    t.regex(warned[0] ?? '', /it was not needed$/)
  }
  t.deepEqual(
    root([one, foreign, altered, one])
      .inspect(slot)
      .map(({ state }) => state),
    ['good', 'foreign', 'wrong', 'repeated'],
  )
})

test('another context, commitment or any flipped byte of what is wrapped fits nothing', async (t) => {
  const { slot, shares } = await split(3, 2)
  t.is(await root(shares).unwrap(slot, Buffer.from('another')), undefined)
  for (let index = 0; index < slot.wrapped.byteLength; index += 1) {
    const wrapped = Uint8Array.from(slot.wrapped)
    wrapped[index] = (wrapped[index] ?? 0) ^ 1
    t.is(await root(shares).unwrap({ ...slot, wrapped }, context), undefined)
  }
  const commitment = Buffer.from(deps.random(32)).toString('base64url')
  const params = { ...slot.params, commitment }
  t.is(await root(shares).unwrap({ ...slot, params }, context), undefined)
})

test("a slot's parameters are bounded, and complete", async (t) => {
  const { slot, shares } = await split(3, 2)
  const bad = { code: 'ERR_ROOT_INVALID' }
  const checks = String(slot.params['checks'])
  for (const change of [
    { group: '0123' },
    { group: 7 },
    { shares: 1 },
    { shares: 33 },
    { shares: '3' },
    { threshold: 1 },
    { threshold: 4 },
    { threshold: 1.5 },
    { commitment: 'AAAA' },
    { checks: checks.slice(22) },
    { checks: `${checks}A` },
    { checks: checks.replace(/./, '!') },
    { salt: 'AA' },
    { more: 1 },
  ]) {
    const params = { ...slot.params, ...change } as WrappedByRoot['params']
    await t.throwsAsync(root(shares).unwrap({ ...slot, params }, context), bad)
    t.throws(() => root(shares).inspect({ ...slot, params }), bad)
  }
  const { salt: _salt, ...without } = slot.params
  await t.throwsAsync(root(shares).unwrap({ ...slot, params: without }, context), bad)
})

test('numbers of shares that make no sense are refused', async (t) => {
  for (const [count, threshold] of [
    [1, 1],
    [5, 1],
    [3, 4],
    [33, 2],
    [Number.NaN, 2],
    [4, 2.5],
  ] as const) {
    await t.throwsAsync(splitRoot({ count, threshold }, deps), { code: 'ERR_USAGE' })
  }
})
