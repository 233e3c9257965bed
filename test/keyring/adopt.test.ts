import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../src/base/secret.ts'
import { adoptKeyring } from '../../src/keyring/adopt.ts'
import { parseDocument } from '../../src/keyring/document.ts'
import { amendKeyring, sealBackup } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { keyStates, type KeyState } from '../../src/keyring/key.ts'
import { checkLineage } from '../../src/keyring/lineage.ts'
import { markOf } from '../../src/keyring/load.ts'
import { wrapKek } from '../../src/keyring/seal.ts'
import { activateKey, retireKey, stageKey } from '../../src/keyring/transitions.ts'
import {
  arbitrarySteps,
  beginLife,
  decrypts,
  live,
  type Life,
  type Step,
} from '../support/keyring-history.ts'
import { cheapPassphraseRoot, deps, newKeyring, reopen } from '../support/keyrings.ts'

async function afterAll(life: Life, steps: readonly Step[]): Promise<Life> {
  let last = life
  for (const step of steps) last = (await live(last, step)) ?? last
  return last
}

async function asBackup(keyring: Keyring): Promise<Keyring> {
  const root = cheapPassphraseRoot('a passphrase')
  return Keyring.open(await sealBackup(keyring, [root], deps), { roots: [root], kind: 'backup' })
}

/** Throws unless `merged` keeps the promises of an adoption of `other` by `local`. */
function checkAdoption(merged: Keyring, local: Life, other: Life): void {
  for (const life of [local, other]) {
    for (const { id, state } of life.keyring.keys) {
      if (merged.find(id) === undefined) throw new Error('every id of both is kept')
      if (state === 'destroyed') continue
      if (!decrypts(merged, id, life.samples.get(id))) {
        throw new Error('whatever either decrypts, the result decrypts')
      }
    }
  }
  if (merged.keys.length > new Set(merged.keys.map(({ id }) => id)).size) {
    throw new Error('no id twice')
  }
  if (merged.active.id !== local.keyring.active.id) throw new Error('the active key stays')
  if (merged.keys.some((key) => key.state === 'staged')) {
    throw new Error('no key stays staged: a lost generation may have activated it')
  }
  const { generation } = merged
  if (generation <= Math.max(local.keyring.generation, other.keyring.generation)) {
    throw new Error('the generation goes above both')
  }
}

const steps = arbitrarySteps(2, 10)

test('of two forks nothing is lost, and nodes on either side accept the result', async (t) => {
  let forks = 0
  await fc.assert(
    fc.asyncProperty(steps, steps, steps, async (before, left, right) => {
      const { keyring, root } = await newKeyring()
      const trunk = await afterAll(beginLife(keyring, [root]), before)
      const [local, other] = [await afterAll(trunk, left), await afterAll(trunk, right)]
      const { document, gained } = adoptKeyring(local.keyring, other.keyring, deps)
      const merged = await Keyring.open(document.bytes, { roots: local.roots })
      checkAdoption(merged, local, other)
      for (const { id } of gained) {
        const mine = local.keyring.find(id)
        if (mine?.wrapped !== undefined) throw new Error('gained means new')
      }
      for (const side of [local, other]) {
        const verdict = checkLineage(merged, markOf(side.keyring))
        if (verdict !== 'newer') throw new Error(`a node at the other end says ${verdict}`)
      }
      if (local.keyring.digest !== other.keyring.digest) forks += 1
    }),
    { numRuns: 40 },
  )
  t.true(forks > 20, `${forks} forks`)
})

test('of two keyrings that were made apart from each other nothing is lost', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, steps, async (left, right) => {
      const [one, two] = [await newKeyring('one'), await newKeyring('two')]
      const local = await afterAll(beginLife(one.keyring, [one.root]), left)
      const other = await afterAll(beginLife(two.keyring, [two.root]), right)
      const { document } = adoptKeyring(local.keyring, other.keyring, deps)
      const merged = await Keyring.open(document.bytes, { roots: local.roots })
      checkAdoption(merged, local, other)
      for (const { id, clusterId } of other.keyring.keys) {
        if (merged.find(id)?.clusterId !== clusterId) throw new Error('a key keeps its cluster')
      }
      if (merged.clusterId !== 'one') throw new Error('new keys are of the local cluster')
      if (checkLineage(merged, markOf(other.keyring)) !== 'newer') throw new Error('newer for both')
    }),
    { numRuns: 30 },
  )
  t.pass()
})

test('of a backup nothing is lost, whenever it was made', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, steps, async (before, after) => {
      const { keyring, root } = await newKeyring()
      const past = await afterAll(beginLife(keyring, [root]), before)
      const backup = await asBackup(past.keyring)
      const local = await afterAll(past, after)
      const { document } = adoptKeyring(local.keyring, backup, deps)
      const merged = await Keyring.open(document.bytes, { roots: local.roots })
      checkAdoption(merged, local, past)
      if (checkLineage(merged, markOf(local.keyring)) !== 'newer') throw new Error('newer')
    }),
    { numRuns: 30 },
  )
  t.pass()
})

/** A keyring and a key in it that is in each of the states, all of one trunk. */
async function inState(trunk: Life, id: string, state: KeyState): Promise<Life> {
  const order: readonly Step[] = [{ do: 'activate' }, { do: 'stage' }, { do: 'activate' }]
  const pick = trunk.keyring.keys.findIndex((key) => key.id === id)
  const paths: Record<KeyState, readonly Step[]> = {
    staged: [],
    active: order.slice(0, 1),
    superseded: order,
    retired: [...order, { do: 'retire', pick }],
    destroyed: [...order, { do: 'retire', pick }, { do: 'destroy', pick }],
  }
  const life = await afterAll(trunk, paths[state])
  if (life.keyring.find(id)?.state !== state) throw new Error(`not ${state}`)
  return life
}

// Rows: here; columns: there, in the order of keyStates.
const expected: Record<KeyState, readonly KeyState[]> = {
  staged: ['superseded', 'superseded', 'superseded', 'superseded', 'superseded'],
  active: ['active', 'active', 'active', 'active', 'active'],
  superseded: ['superseded', 'superseded', 'superseded', 'superseded', 'superseded'],
  retired: ['superseded', 'superseded', 'superseded', 'retired', 'retired'],
  destroyed: ['superseded', 'superseded', 'superseded', 'retired', 'destroyed'],
}

for (const here of keyStates) {
  test(`a key that is ${here} here takes the state that needs it more`, async (t) => {
    const { keyring, root } = await newKeyring()
    const trunk = await afterAll(beginLife(keyring, [root]), [{ do: 'stage' }])
    const id = trunk.keyring.keys[1]?.id ?? ''
    const local = await inState(trunk, id, here)
    for (const [index, there] of keyStates.entries()) {
      const other = await inState(trunk, id, there)
      const { document } = adoptKeyring(local.keyring, other.keyring, deps)
      const merged = await Keyring.open(document.bytes, { roots: [root] })
      t.is(merged.find(id)?.state, expected[here][index], `${there} there`)
    }
  })
}

test('a key gained from elsewhere is superseded, or retired where it was', async (t) => {
  const [{ keyring: local, root }, { keyring, root: otherRoot }] = [
    await newKeyring(),
    await newKeyring(),
  ]
  const staged = await reopen(stageKey(keyring, deps).document, otherRoot)
  const active = await reopen(activateKey(staged, deps).document, otherRoot)
  const retired = await reopen(retireKey(active, keyring.active.id, deps).document, otherRoot)
  const more = await reopen(stageKey(retired, deps).document, otherRoot)
  const { document, gained } = adoptKeyring(local, more, deps)
  const merged = await reopen(document, root)
  t.deepEqual(
    merged.keys.map(({ state }) => state),
    ['active', 'retired', 'superseded', 'superseded'],
  )
  t.deepEqual(
    gained.map(({ id }) => id),
    more.keys.map(({ id }) => id),
  )
})

test('adopting the same again gains nothing and still makes a generation', async (t) => {
  const { keyring, root } = await newKeyring()
  const { document, gained } = adoptKeyring(keyring, keyring, deps)
  t.deepEqual(gained, [])
  const merged = await reopen(document, root)
  t.is(merged.generation, 2)
  t.deepEqual(merged.keys, keyring.keys)
})

test('the result goes above the generation that the node has used', async (t) => {
  const { keyring } = await newKeyring()
  const adopt = (minGeneration: number): number =>
    adoptKeyring(keyring, keyring, { ...deps, minGeneration }).document.generation
  t.is(adopt(1), 2)
  t.is(adopt(700), 700)
  t.throws(() => adopt(10_000_000_000), { code: 'ERR_KEYRING_FULL' })
})

test('long histories are both kept, neither crowding out the other', async (t) => {
  const grow = async (keyring: Keyring, root: Parameters<typeof reopen>[1]): Promise<Keyring> => {
    let last = keyring
    for (let count = 0; count < 70; count += 1) {
      last = await reopen(amendKeyring(last, { createdAt: '2026-01-02T03:04:05Z' }), root)
    }
    return last
  }
  const { keyring, root } = await newKeyring()
  const [left, right] = [await grow(keyring, root), await grow(keyring, root)]
  const digests = [left, left.ancestors[30], right, right.ancestors[30]].map((mark) =>
    typeof mark === 'object' ? mark.digest : mark,
  )
  const { ancestors } = parseDocument(
    adoptKeyring(left, right, deps).document.bytes,
    'keyring',
  ).body
  t.is(ancestors.length, 64)
  for (const digest of digests) t.true(digest !== undefined && ancestors.includes(digest))
})

test('one id that stands for two keys is refused, since one would be lost', async (t) => {
  const { keyring, root } = await newKeyring('prod')
  const key = keyring.keyringKey()
  for (const change of [{ clusterId: 'other' }, {}]) {
    const { id, state, createdAt, changedAt, clusterId } = keyring.active
    const info = { id, state, createdAt, changedAt, clusterId, ...change }
    const sameMaterial = 'clusterId' in change
    using material = sameMaterial
      ? keyring.live(id).material.clone()
      : SecretBytes.take(deps.random(32))
    const wrapped = wrapKek(material, { info, body: keyring.body, key, random: deps.random })
    const forged = amendKeyring(keyring, { keys: [{ ...info, wrapped }], createdAt })
    const other = await reopen(forged, root)
    t.throws(() => adoptKeyring(keyring, other, deps), { code: 'ERR_WOULD_LOSE_DATA' })
  }
})

test('a backup adopts nothing: it is restored first', async (t) => {
  const { keyring } = await newKeyring()
  const backup = await asBackup(keyring)
  t.throws(() => adoptKeyring(backup, keyring, deps), { instanceOf: TypeError })
})

test('the other keyring is left as it was', async (t) => {
  const [{ keyring: local, root }, { keyring: other }] = [await newKeyring(), await newKeyring()]
  const { document } = adoptKeyring(local, other, deps)
  const merged = await reopen(document, root)
  other[Symbol.dispose]()
  t.is(merged.live(other.active.id).material.byteLength, 32)
})
