import { hkdfSync, timingSafeEqual } from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import { fromBase64Url, toBase64Url } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import { frameKeyBytes, openFrame, sealFrame } from '../../base/frame.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { JoinedRoot, ShareFinding, SlotParams, SplitRoot } from '../root.ts'
import { damaged, readSalt, requireParams } from './file.ts'
import { encodeShare, maxShares, type Share } from './share-text.ts'

/** Slot type of a root that is joined from shares. */
const type = 'shares'
const purpose = 'latchkey/root/shares/1'
const checkBytes = 16
const checkCharacters = 22

/** A share, and where it came from, for messages. */
export interface GivenShare extends Share {
  readonly source: string
}

/** What a slot says of its shares. */
interface SharesSlot {
  readonly salt: Uint8Array
  readonly group: string
  readonly count: number
  readonly threshold: number
  readonly commitment: Uint8Array
  /** One for each share, in order. */
  readonly checks: readonly Uint8Array[]
}

/**
 * A new root of 32 random bytes, split by Shamir's scheme (How to share a secret, CACM 1979) over
 * GF(2^8), so that any `threshold` of `count` shares join it and fewer tell nothing about it.
 *
 * @remarks
 * The slot holds a commitment to the root, as the cipher alone commits to no key, and a check of each
 * share, by which a wrong one can be named. Both are 128 bits or more of HKDF over values of 256
 * random bits: they help nobody to guess a share.
 *
 * @throws `ERR_USAGE` when the numbers are out of bounds.
 */
export async function splitRoot(
  options: { readonly count: number; readonly threshold: number },
  deps: { readonly random: RandomBytes },
): Promise<SplitRoot> {
  const { count, threshold } = options
  const whole = Number.isInteger(count) && Number.isInteger(threshold)
  if (!whole || count < 2 || count > maxShares || threshold < 2 || threshold > count) {
    throw new LatchkeyError('ERR_USAGE', 'the numbers of shares are out of bounds', {
      hint: `make 2 to ${maxShares} shares, and have 2 or more of them join, as in --shares 5 --threshold 3`,
    })
  }
  const joined = SecretBytes.take(deps.random(frameKeyBytes))
  const group = Buffer.from(deps.random(8)).toString('hex')
  const parts = await split(joined.expose(), count, threshold)
  const shares = parts.map((part, at): Share => {
    return { group, threshold, count, index: at + 1, secret: SecretBytes.take(part) }
  })
  const root: SplitRoot['root'] = {
    type,
    wrap: async (secret, context) => {
      const salt = deps.random(16)
      using wrapping = derive(joined, salt, purpose)
      using commitment = derive(joined, salt, `${purpose}/commitment`)
      const checks = shares.map((share) => toBase64Url(checkOf(share, salt))).join('')
      return {
        params: {
          salt: toBase64Url(salt),
          group,
          shares: count,
          threshold,
          commitment: toBase64Url(commitment.expose()),
          checks,
        },
        wrapped: sealFrame(secret.expose(), {
          key: wrapping,
          associatedData: context,
          random: deps.random,
        }),
      }
    },
    unwrap: async (slot, context) => open(joined, slot, { slot: readSlot(slot.params), context }),
  }
  const texts = shares.map((share) => ({ index: share.index, text: encodeShare(share) }))
  return { root, group, shares: texts }
}

/**
 * A root that is joined from `shares`, given in any order, some of them perhaps twice, or of no use.
 *
 * @param warn - told, in one line, of each share that was of no use and was not needed.
 */
export function sharesRoot(
  shares: readonly GivenShare[],
  deps: { readonly warn: (line: string) => void },
): JoinedRoot {
  return {
    type,
    wrap: () => {
      throw new TypeError('shares join a root that there is; splitRoot makes one')
    },
    inspect: ({ params }) => inspect(shares, readSlot(params)),
    unwrap: async (wrapped, context) => {
      const slot = readSlot(wrapped.params)
      const findings = inspect(shares, slot)
      const good = shares.filter((_, at) => findings[at]?.state === 'good')
      if (good.length < slot.threshold) throw tooFew(findings, slot)
      for (const finding of findings) {
        if (finding.state !== 'good') deps.warn(`${say(finding)}; it was not needed`)
      }
      const parts = good.slice(0, slot.threshold).map(({ secret }) => secret.expose())
      using joined = SecretBytes.take(await combine(parts))
      return open(joined, wrapped, { slot, context })
    },
  }
}

/** `undefined` when the joined root is not the one that the slot commits to, or does not open it. */
function open(
  joined: SecretBytes,
  { wrapped }: { readonly wrapped: Uint8Array },
  { slot, context }: { readonly slot: SharesSlot; readonly context: Uint8Array },
): SecretBytes | undefined {
  using commitment = derive(joined, slot.salt, `${purpose}/commitment`)
  if (!timingSafeEqual(commitment.expose(), slot.commitment)) return undefined
  using wrapping = derive(joined, slot.salt, purpose)
  try {
    return openFrame(wrapped, { key: wrapping, associatedData: context })
  } catch (error) {
    if (isLatchkeyError(error)) return undefined
    throw error
  }
}

function inspect(shares: readonly GivenShare[], slot: SharesSlot): readonly ShareFinding[] {
  const seen = new Set<number>()
  return shares.map((share) => {
    const { source, index, group } = share
    const state = stateOf(share, slot)
    if (state !== 'good' || !seen.has(index)) {
      if (state === 'good') seen.add(index)
      return { source, index, group, state }
    }
    return { source, index, group, state: 'repeated' }
  })
}

function stateOf(share: GivenShare, slot: SharesSlot): 'good' | 'foreign' | 'wrong' {
  if (share.group !== slot.group) return 'foreign'
  const expected = slot.checks[share.index - 1]
  const fits = share.count === slot.count && share.threshold === slot.threshold
  if (!fits || expected === undefined) return 'wrong'
  return timingSafeEqual(checkOf(share, slot.salt), expected) ? 'good' : 'wrong'
}

const whatIsWrong: Readonly<Record<Exclude<ShareFinding['state'], 'good'>, string>> = {
  repeated: 'was given already',
  foreign: 'belongs to another backup',
  wrong: 'is not as it was handed out',
}

function say({ source, index, group, state }: ShareFinding): string {
  return `share ${index} of group ${group} (${source}) ${state === 'good' ? 'is good' : whatIsWrong[state]}`
}

function tooFew(findings: readonly ShareFinding[], slot: SharesSlot): LatchkeyError {
  const bad = findings.filter(({ state }) => state !== 'good')
  const good = findings.length - bad.length
  const code = bad.some(({ state }) => state === 'wrong')
    ? 'ERR_SHARE_WRONG'
    : bad.some(({ state }) => state === 'foreign')
      ? 'ERR_SHARE_FOREIGN'
      : 'ERR_SHARES_TOO_FEW'
  const problems = bad.map((finding) => `: ${say(finding)}`).join('')
  return new LatchkeyError(
    code,
    `${good} of the ${slot.threshold} shares that are needed ${good === 1 ? 'is' : 'are'} there${problems}`,
    { hint: `bring more shares of group ${slot.group}, of which there are ${slot.count}` },
  )
}

/** Tells one share from any other, and nothing about its content. */
function checkOf({ secret, index }: Share, salt: Uint8Array): Uint8Array {
  using derived = derive(secret, salt, `${purpose}/check/${index}`)
  return Uint8Array.from(derived.expose().subarray(0, checkBytes))
}

function derive(key: SecretBytes, salt: Uint8Array, info: string): SecretBytes {
  return SecretBytes.take(new Uint8Array(hkdfSync('sha256', key.expose(), salt, info, 32)))
}

function readSlot(params: SlotParams): SharesSlot {
  requireParams(params, ['salt', 'group', 'shares', 'threshold', 'commitment', 'checks'])
  const { group, shares: count, threshold, commitment, checks } = params
  if (typeof group !== 'string' || !/^[0-9a-f]{16}$/.test(group)) {
    throw damaged("the slot's group is not 16 hexadecimal digits")
  }
  const number = (value: unknown, least: number, most: number): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
  if (!number(count, 2, maxShares)) {
    throw damaged(`the slot's number of shares is not from 2 to ${maxShares}`)
  }
  if (!number(threshold, 2, count)) throw damaged("the slot's threshold is out of bounds")
  const committed = typeof commitment === 'string' ? fromBase64Url(commitment) : undefined
  if (committed?.byteLength !== 32) throw damaged("the slot's commitment is not 32 bytes")
  const text = typeof checks === 'string' ? checks : ''
  const decoded = Array.from({ length: count }, (_, at) =>
    fromBase64Url(text.slice(at * checkCharacters, (at + 1) * checkCharacters)),
  )
  const whole = decoded.filter((check) => check?.byteLength === checkBytes) as Uint8Array[]
  if (whole.length !== count || text.length !== count * checkCharacters) {
    throw damaged("the slot's checks are not 16 bytes for each share")
  }
  return { salt: readSalt(params), group, count, threshold, commitment: committed, checks: whole }
}
