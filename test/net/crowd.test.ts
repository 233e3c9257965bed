import test from 'ava'
import { Crowd } from '../../src/net/crowd.ts'

function crowd(max: number): { readonly it: Crowd<string>; readonly gone: string[] } {
  const gone: string[] = []
  return { it: new Crowd(max, (member) => gone.push(member)), gone }
}

test('there is room for as many as there may be, and then newcomers are turned away', (t) => {
  const { it, gone } = crowd(2)
  for (const member of ['a', 'b', 'c', 'd']) it.enter(member, 'here')
  t.deepEqual(gone, ['c', 'd'])
  t.is(it.size, 2)
  t.false(it.has('c'))
})

test('where each came from elsewhere, what was begun is finished', (t) => {
  const { it, gone } = crowd(2)
  for (const member of ['a', 'b', 'c']) it.enter(member, `from-${member}`)
  t.deepEqual(gone, ['c'])
})

test('whoever floods pushes out himself, and nobody from elsewhere', (t) => {
  const { it, gone } = crowd(10)
  it.enter('early', 'there')
  for (let i = 0; i < 1_000; i += 1) it.enter(`flood-${i}`, 'here')
  it.enter('late', 'elsewhere')
  it.enter('later', 'there')
  for (let i = 1_000; i < 2_000; i += 1) it.enter(`flood-${i}`, 'here')
  t.true(it.has('early') && it.has('late') && it.has('later'))
  t.true(gone.every((member) => member.startsWith('flood-')))
  t.true(gone.includes('flood-0'))
  t.is(it.size, 10)
})

test('who leaves makes room, and who is there already does not count twice', (t) => {
  const { it, gone } = crowd(2)
  it.enter('a', 'here')
  it.enter('a', 'there')
  it.enter('b', 'here')
  it.leave('a')
  it.leave('a')
  it.enter('c', 'here')
  t.deepEqual(gone, [])
  t.is(it.size, 2)
})
