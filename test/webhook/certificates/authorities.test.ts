import test from 'ava'
import { randomBytes } from 'node:crypto'
import {
  authorityOf,
  bundleOf,
  namesNow,
  nextStep,
  parseAuthorities,
  printAuthorities,
  signerOf,
  type Authority,
  type AuthorityPolicy,
} from '../../../src/webhook/certificates/authorities.ts'
import { makeAuthority } from '../../../src/webhook/certificates/x509.ts'

const day = 86_400_000
const start = Date.parse('2026-01-01T00:00:00Z')
const names = ['a.svc', 'b.svc']
const policy: AuthorityPolicy = {
  lifetimeMs: 3650 * day,
  noticeMs: 30 * day,
  leafLifetimeMs: 3 * day,
  names,
  pinned: ['b.svc'],
}

const made = async (signsFromMs: number, of: readonly string[] = names): Promise<Authority> =>
  authorityOf(
    await makeAuthority(of, {
      random: (length) => new Uint8Array(randomBytes(length)),
      validity: {
        notBeforeMs: signsFromMs - day,
        notAfterMs: signsFromMs + policy.lifetimeMs,
      },
    }),
    { signsFromMs, names: of },
  )

const first = await made(start)
const end = first.facts.notAfterMs
const second = await made(end - 40 * day)
const isKnown = (): boolean => true

test('the first authority signs at once', (t) => {
  t.deepEqual(nextStep([], start, policy), { keep: [], add: { signsFromMs: start } })
  t.deepEqual(nextStep([first], start, policy), { keep: [first], add: undefined })
})

test('a successor is made in time for its notice, twice, and for what the old one still signs', (t) => {
  const due = end - 63 * day
  t.is(nextStep([first], due - 1, policy).add, undefined)
  t.deepEqual(nextStep([first], due, policy).add, { signsFromMs: due + 30 * day })
  t.is(nextStep([first, second], end - 50 * day, policy).add, undefined)
})

test('the old authority goes when it has ended, and not before', (t) => {
  t.deepEqual(nextStep([first, second], end - 1, policy).keep, [first, second])
  t.deepEqual(nextStep([first, second], end, policy).keep, [second])
})

test('when all have ended a new one signs at once, as nobody can be told any more', (t) => {
  const late = end + day
  t.deepEqual(nextStep([first], late, policy), { keep: [], add: { signsFromMs: late } })
})

test('a clock that shows a time before the newest was made is not believed', (t) => {
  const early = start - 400 * day
  t.deepEqual(nextStep([first], early, policy), { keep: [first], add: undefined })
  t.deepEqual(nextStep([first, second], start, policy), { keep: [first, second], add: undefined })
})

test('names that no authority can vouch for need one that can, which is made known first', async (t) => {
  const wider = { ...policy, names: [...names, 'c.svc'] }
  t.deepEqual(nextStep([first], start, wider).add, { signsFromMs: start + 30 * day })
  const able = await made(start + 30 * day, wider.names)
  t.is(nextStep([first, able], start, wider).add, undefined)
  t.is(signerOf([first], start, { names: wider.names, isKnown }), undefined)
  for (const [nowMs, carried, signer] of [
    [able.signsFromMs - 1, names, first],
    [able.signsFromMs, wider.names, able],
  ] as const) {
    t.deepEqual(namesNow([first, able], nowMs, wider), carried)
    t.is(signerOf([first, able], nowMs, { names: carried, isKnown }), signer)
  }
})

test('a name that is called, and nobody can vouch for, is not waited for', async (t) => {
  const other = { ...policy, names: ['b.svc', 'c.svc'], pinned: ['c.svc'] }
  t.deepEqual(nextStep([first], start, other).add, { signsFromMs: start })
  const able = await made(start, other.names)
  t.deepEqual(namesNow([first, able], start, other), other.names)
  t.is(signerOf([first, able], start, { names: other.names, isKnown }), able)
  // Not even where the new one was to wait, for a name that is called only since.
  const waiting = await made(start + day, other.names)
  t.deepEqual(namesNow([first, waiting], start, other), other.names)
  t.is(signerOf([first, waiting], start, { names: other.names, isKnown }), waiting)
})

test('replicas of two configurations, as during a rollout, do not outbid each other', async (t) => {
  const renamed = { ...policy, names: ['a.svc', 'c.svc'] }
  const other = await made(start, renamed.names)
  const both = [first, other]
  t.is(nextStep(both, start, policy).add, undefined)
  t.is(nextStep(both, start, renamed).add, undefined)
  const due = end - 63 * day
  t.deepEqual(nextStep(both, due, policy).add, { signsFromMs: due + 30 * day })
})

test('the newest signs from its time on, if it is known', (t) => {
  const both = [first, second]
  t.is(signerOf(both, second.signsFromMs - 1, { names, isKnown }), first)
  t.is(signerOf(both, second.signsFromMs, { names, isKnown }), second)
  const knowsFirst = (authority: Authority): boolean => authority === first
  t.is(signerOf(both, second.signsFromMs, { names, isKnown: knowsFirst }), first)
  t.is(signerOf(both, second.signsFromMs, { names, isKnown: () => false }), first)
  t.is(signerOf([second], start, { names, isKnown }), second)
  t.is(signerOf([], start, { names, isKnown }), undefined)
})

test('what is kept in the Secret is read back', (t) => {
  const text = printAuthorities([first, second])
  const read = parseAuthorities(text)
  t.is(bundleOf(read), bundleOf([first, second]))
  t.deepEqual(
    read.map(({ key, signsFromMs, names: of }) => [key.expose(), signsFromMs, of]),
    [first, second].map(({ key, signsFromMs, names: of }) => [key.expose(), signsFromMs, of]),
  )
  t.is(printAuthorities(read), text)
})

const keyOf = (text: string): string => /"key":"([^"]*)"/.exec(text)?.[1] ?? ''

test('a Secret that is damaged, or of another release, is refused', (t) => {
  const text = printAuthorities([first])
  for (const damaged of [
    '',
    '{}',
    '[]',
    text.slice(0, -10),
    text.replace('"format":1', '"format":2'),
    text.replace(/"key":"[^"]*"/, '"key":""'),
    text.replace(/"key":"[^"]*"/, '"key":"***"'),
    text.replace(/"signsFrom":"[^"]*"/, '"signsFrom":"soon"'),
    text.replace(keyOf(text), keyOf(printAuthorities([second]))),
    text.replace('BEGIN CERTIFICATE', 'BEGIN NOTHING'),
  ]) {
    t.throws(() => parseAuthorities(damaged), { code: 'ERR_TLS_INVALID' })
  }
})

test('keys do not show in the error of a damaged Secret', (t) => {
  const text = printAuthorities([first])
  const key = /"key":"([^"]*)"/.exec(text)?.[1] ?? ''
  const error = t.throws(() => parseAuthorities(text.replace('CERTIFICATE', 'X')))
  t.false(JSON.stringify([error.message, error.stack]).includes(key.slice(0, 20)))
})
