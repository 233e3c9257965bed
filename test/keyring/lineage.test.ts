import test from 'ava'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { isLatchkeyError } from '../../src/base/errors.ts'
import {
  ancestorsOfSuccessor,
  checkLineage,
  isGeneration,
  maxAncestors,
  maxGeneration,
  type LineageMark,
} from '../../src/keyring/lineage.ts'

const digest = (name: string): string => `sha256:${createHash('sha256').update(name).digest('hex')}`

const root = (keyringId: string, name = 'root'): LineageMark => ({
  keyringId,
  generation: 1,
  digest: digest(name),
  ancestors: [],
})

const successor = (mark: LineageMark, name: string): LineageMark => ({
  keyringId: mark.keyringId,
  generation: mark.generation + 1,
  digest: digest(`${mark.digest}/${name}`),
  ancestors: ancestorsOfSuccessor(mark),
})

/** `length` generations in a row, the first after `start`. */
function chain(start: LineageMark, length: number, name: string): LineageMark[] {
  const marks: LineageMark[] = []
  for (let mark = start; marks.length < length;) {
    mark = successor(mark, name)
    marks.push(mark)
  }
  return marks
}

/** `same`, `newer` or the code of the refusal. */
function verdict(candidate: LineageMark, mark: LineageMark | undefined): string {
  try {
    return checkLineage(candidate, mark)
  } catch (error) {
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}

const first = root('K')
const trunk = [first, ...chain(first, 250, 'trunk')]
const at = (index: number): LineageMark => trunk[index] ?? first

test('a node that has seen nothing takes what there is', (t) => {
  t.is(verdict(at(7), undefined), 'newer')
})

test('in one line, however far apart: the same, newer, or rolled back', (t) => {
  for (let candidate = 0; candidate < trunk.length; candidate += 7) {
    for (let mark = 0; mark < trunk.length; mark += 1) {
      t.is(
        verdict(at(candidate), at(mark)),
        candidate === mark ? 'same' : candidate > mark ? 'newer' : 'ERR_KEYRING_ROLLED_BACK',
        `${candidate} after ${mark}`,
      )
    }
  }
})

test('two copies that were changed apart from each other are a fork, seen from both', (t) => {
  fc.assert(
    fc.property(
      fc.nat(100),
      fc.integer({ min: 1, max: maxAncestors - 1 }),
      fc.integer({ min: 1, max: maxAncestors - 1 }),
      (common, left, right) => {
        const one = chain(at(common), left, 'left').at(-1) ?? first
        const other = chain(at(common), right, 'right').at(-1) ?? first
        t.is(verdict(one, other), 'ERR_KEYRING_FORKED')
        t.is(verdict(other, one), 'ERR_KEYRING_FORKED')
        t.is(verdict(one, at(common)), 'newer')
      },
    ),
  )
})

test('a short keyring cannot pass for one that is too far ahead to be traced', (t) => {
  const jumped = { ...successor(root('K', 'other'), 'x'), generation: 500 }
  t.is(verdict(jumped, at(10)), 'ERR_KEYRING_FORKED')
  t.is(verdict(at(10), jumped), 'ERR_KEYRING_FORKED')
})

test('a keyring of another init is foreign, however old or new', (t) => {
  const stranger = chain(root('other', 'stranger'), 200, 'x')
  for (const mark of stranger) {
    t.is(verdict(mark, at(100)), 'ERR_KEYRING_FOREIGN')
    t.is(verdict(at(100), mark), 'ERR_KEYRING_FOREIGN')
  }
})

test('what merges two keyrings is newer than both', (t) => {
  const stranger = root('other', 'stranger')
  const merged: LineageMark = {
    keyringId: 'K',
    generation: 12,
    digest: digest('merged'),
    ancestors: [at(10).digest, stranger.digest],
  }
  t.is(verdict(merged, at(10)), 'newer')
  t.is(verdict(merged, stranger), 'newer')
  t.is(verdict(stranger, merged), 'ERR_KEYRING_ROLLED_BACK')
})

test('a history is cut at its old end', (t) => {
  t.is(at(200).ancestors.length, maxAncestors)
  t.is(at(200).ancestors[0], at(199).digest)
  t.is(at(200).ancestors.at(-1), at(200 - maxAncestors).digest)
  t.deepEqual(at(0).ancestors, [])
})

test('each refusal has a remedy of its own', (t) => {
  const hints = [
    [at(1), at(2)],
    [chain(at(5), 1, 'left')[0], at(7)],
    [root('other', 'stranger'), at(7)],
  ].map(([candidate, mark]) => {
    const error = t.throws(() => checkLineage(candidate ?? first, mark))
    return isLatchkeyError(error) ? error.hint : undefined
  })
  t.is(new Set(hints).size, 3)
  for (const hint of hints) t.true(hint?.includes('latchkey keys adopt --from'))
})

test('generations are whole numbers of up to ten digits', (t) => {
  for (const good of [1, 2, maxGeneration]) t.true(isGeneration(good))
  for (const bad of [0, -1, 1.5, NaN, maxGeneration + 1, Infinity]) t.false(isGeneration(bad))
})
