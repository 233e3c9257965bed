import test from 'ava'
import fc from 'fast-check'
import { isLatchkeyError } from '../../src/base/errors.ts'
import type { Keyring } from '../../src/keyring/keyring.ts'
import { keyStates, parseKeyId, type KeyState } from '../../src/keyring/key.ts'
import { checkLineage } from '../../src/keyring/lineage.ts'
import { markOf } from '../../src/keyring/load.ts'
import {
  activateKey,
  destroyKey,
  retireKey,
  stageKey,
  type Transition,
} from '../../src/keyring/transitions.ts'
import { arbitrarySteps, beginLife, decrypts, live, type Life } from '../support/keyring-history.ts'
import { deps, newKeyring, reopen } from '../support/keyrings.ts'

const { keyring: first, root } = await newKeyring('prod')
const after = (transition: Transition): Promise<Keyring> => reopen(transition.document, root)
const second = await after(activateKey(await after(stageKey(first, deps)), deps))
const third = await after(activateKey(await after(stageKey(second, deps)), deps))
const withRetired = await after(retireKey(third, first.active.id, deps))
const withDestroyed = await after(destroyKey(withRetired, first.active.id, deps))
const withAll = await (async () => {
  const fourth = await after(activateKey(await after(stageKey(withDestroyed, deps)), deps))
  return after(stageKey(await after(retireKey(fourth, second.active.id, deps)), deps))
})()

const idOf = (state: KeyState): string =>
  withAll.keys.find((key) => key.state === state)?.id ?? 'none'

test('a staged key is new, last, and takes nothing from the others', async (t) => {
  const { document, keyId } = stageKey(first, deps)
  const next = await reopen(document, root)
  t.deepEqual(
    next.keys.map(({ id, state }) => [id, state]),
    [
      [first.active.id, 'active'],
      [keyId, 'staged'],
    ],
  )
  t.deepEqual(parseKeyId(keyId), { generation: 2 })
  t.is(next.active.id, first.active.id)
  t.is(next.find(keyId)?.clusterId, 'prod')
})

test('activating changes two states in one generation', async (t) => {
  const staged = await after(stageKey(first, deps))
  const { document, keyId } = activateKey(staged, deps)
  const next = await reopen(document, root)
  t.is(next.generation, staged.generation + 1)
  t.is(next.active.id, keyId)
  t.deepEqual(
    next.keys.map(({ state }) => state),
    ['superseded', 'active'],
  )
})

test('a change leaves times, materials and names of the other keys alone', async (t) => {
  const later = { ...deps, now: () => Date.parse('2031-01-01T00:00:00Z') }
  const staged = await after(stageKey(third, later))
  for (const key of third.keys) t.deepEqual(staged.find(key.id), key)
  t.is(staged.body.createdAt, '2031-01-01T00:00:00Z')
})

type Outcome = KeyState | 'ERR_WOULD_LOSE_DATA' | 'ERR_KEY_STATE'
const table: Record<KeyState, { retire: Outcome; destroy: Outcome }> = {
  staged: { retire: 'ERR_WOULD_LOSE_DATA', destroy: 'destroyed' },
  active: { retire: 'ERR_WOULD_LOSE_DATA', destroy: 'ERR_WOULD_LOSE_DATA' },
  superseded: { retire: 'retired', destroy: 'ERR_WOULD_LOSE_DATA' },
  retired: { retire: 'ERR_KEY_STATE', destroy: 'destroyed' },
  destroyed: { retire: 'ERR_KEY_STATE', destroy: 'ERR_KEY_STATE' },
}

for (const state of keyStates) {
  for (const [command, move] of [
    ['retire', retireKey],
    ['destroy', destroyKey],
  ] as const) {
    const outcome = table[state][command]
    test(`to ${command} a key that is ${state} gives ${outcome}`, async (t) => {
      const id = idOf(state)
      if (outcome.startsWith('ERR_')) {
        t.throws(() => move(withAll, id, deps), { code: outcome })
        return
      }
      const next = await after(move(withAll, id, deps))
      t.true(next.find(id)?.state === outcome)
      t.is(next.find(id)?.wrapped === undefined, outcome === 'destroyed')
      for (const key of withAll.keys) {
        if (key.id !== id) t.deepEqual(next.find(key.id), key)
      }
    })
  }
}

test('a second key cannot be staged, and nothing can be activated that is not staged', (t) => {
  const staged = t.throws(() => stageKey(withAll, deps), { code: 'ERR_KEY_STATE' })
  t.true(isLatchkeyError(staged) && staged.hint?.includes('latchkey keys destroy'))
  const none = t.throws(() => activateKey(third, deps), { code: 'ERR_KEY_STATE' })
  t.true(isLatchkeyError(none) && none.hint?.includes('latchkey keys stage'))
})

test('the remedy for a key that is staged already works', async (t) => {
  const given = await after(destroyKey(withAll, idOf('staged'), deps))
  await t.notThrowsAsync(after(stageKey(given, deps)))
})

test('an id that the keyring never had is unknown to every command', (t) => {
  for (const id of ['', 'lk1.1.AAAAAAAAAAAAAAAAAAAAAA', '__proto__']) {
    t.throws(() => retireKey(withAll, id, deps), { code: 'ERR_KEY_UNKNOWN' })
    t.throws(() => destroyKey(withAll, id, deps), { code: 'ERR_KEY_UNKNOWN' })
    t.throws(() => withAll.live(id), { code: 'ERR_KEY_UNKNOWN' })
    t.is(withAll.find(id), undefined)
  }
  t.throws(() => withAll.live(idOf('destroyed')), { code: 'ERR_KEY_DESTROYED' })
})

test('a destroyed key is in no byte of the keyring', (t) => {
  const { document } = destroyKey(withAll, idOf('retired'), deps)
  const text = Buffer.from(document.bytes).toString()
  const wrapped = Buffer.from(withAll.find(idOf('retired'))?.wrapped ?? []).toString('base64url')
  t.true(wrapped.length > 40)
  t.false(text.includes(wrapped))
  t.true(text.includes(idOf('retired')), 'the tombstone stays')
})

/** What must hold after any step, given the life before it. */
function checkStep(before: Life, now: Life): void {
  const { keyring } = now
  const count = (state: KeyState): number =>
    keyring.keys.filter((key) => key.state === state).length
  if (count('active') !== 1) throw new Error('exactly one key is active')
  if (count('staged') > 1) throw new Error('at most one key is staged')
  if (keyring.generation <= before.keyring.generation) throw new Error('generations grow')
  if (checkLineage(keyring, markOf(before.keyring)) !== 'newer') throw new Error('it descends')
  const order = new Map(keyring.keys.map(({ id, state }) => [id, keyStates.indexOf(state)]))
  for (const { id, state } of before.keyring.keys) {
    const rank = order.get(id)
    if (rank === undefined) throw new Error('no key is ever forgotten')
    if (rank < keyStates.indexOf(state)) throw new Error('states only go forward')
  }
  for (const { id, state } of keyring.keys) {
    if (state !== 'destroyed' && !decrypts(keyring, id, now.samples.get(id))) {
      throw new Error('every key that is not destroyed decrypts what it encrypted')
    }
  }
}

test('whatever is done in whatever order, the rules of a keyring hold', async (t) => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(arbitrarySteps(15, 30), async (steps) => {
      const { keyring, root: own } = await newKeyring()
      let life = beginLife(keyring, [own])
      for (const step of steps) {
        const next = await live(life, step)
        if (next === undefined) continue
        checkStep(life, next)
        life = next
        taken += 1
      }
    }),
    { numRuns: 40 },
  )
  t.true(taken > 200, `${taken} steps`)
})

test('over a long history no id returns, and a tombstone keeps each', async (t) => {
  let keyring = first
  const ids = new Set([first.active.id])
  for (let rotation = 0; rotation < 120; rotation += 1) {
    keyring = await after(stageKey(keyring, deps))
    const former = keyring.active.id
    keyring = await after(activateKey(keyring, deps))
    t.false(ids.has(keyring.active.id))
    ids.add(keyring.active.id)
    keyring = await after(retireKey(keyring, former, deps))
    keyring = await after(destroyKey(keyring, former, deps))
  }
  t.deepEqual(new Set(keyring.keys.map(({ id }) => id)), ids)
  t.is(keyring.keys.filter(({ state }) => state === 'destroyed').length, 120)
  t.is(keyring.generation, 1 + 120 * 4)
})

test('a clock that jumps, also out of all calendars, stops nothing', async (t) => {
  let keyring = first
  for (const now of [0, -1e15, 8.64e15, 4e12, 1]) {
    const jumped = { ...deps, now: () => now }
    keyring = await after(stageKey(keyring, jumped))
    keyring = await after(activateKey(keyring, jumped))
  }
  t.is(keyring.generation, 11)
})
