import test from 'ava'
import fc from 'fast-check'
import type { Json } from '../../../src/injection/pod/json.ts'
import { diffJson } from '../../../src/webhook/inject/json-patch.ts'
import { applyJsonPatch } from '../../support/apply-json-patch.ts'

const named = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e'), value: fc.nat(3) }),
  { selector: ({ name }) => name, maxLength: 5 },
)
const mounts = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('v', 'w'), mountPath: fc.constantFrom('/a', '/b', '/c') }),
  { selector: ({ mountPath }) => mountPath },
)
const value = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue(),
    named,
    mounts,
    fc.dictionary(fc.constantFrom('x', 'y', 'a/b', 'm~n', '~1'), tie('tree')),
    fc.array(fc.record({ name: fc.constantFrom('a', 'b'), inner: tie('tree') }), { maxLength: 3 }),
  ),
})).tree as fc.Arbitrary<Json>
// Negative zero is no JSON.
const json = value.map((each) => JSON.parse(JSON.stringify(each)) as Json)

test('applying the difference of two documents to the one gives the other', (t) => {
  fc.assert(
    fc.property(json, json, (from, to) => {
      t.deepEqual(applyJsonPatch(from, diffJson(from, to)), to)
    }),
    { numRuns: 2000 },
  )
})

test('equal documents differ in nothing', (t) => {
  fc.assert(
    fc.property(json, (each) => {
      t.deepEqual(diffJson(each, structuredClone(each)), [])
    }),
  )
})

test('one item more in a list of named ones is one operation', (t) => {
  const [a, b] = [{ name: 'a' }, { name: 'b' }]
  t.deepEqual(diffJson([a], [b, a]), [{ op: 'add', path: '/0', value: b }])
  t.deepEqual(diffJson([a, b], [b]), [{ op: 'remove', path: '/0' }])
  t.deepEqual(diffJson({ list: [a, b] }, { list: [a, { ...b, x: 1 }] }), [
    { op: 'add', path: '/list/1/x', value: 1 },
  ])
})

test('mounts of one volume are told apart by their paths', (t) => {
  const mount = (mountPath: string): Json => ({ name: 'v', mountPath })
  t.deepEqual(diffJson([mount('/a'), mount('/b')], [mount('/a'), mount('/b'), mount('/c')]), [
    { op: 'add', path: '/2', value: mount('/c') },
  ])
})

test('names that every object inherits are names like others', (t) => {
  t.deepEqual(diffJson({}, { constructor: 1 }), [{ op: 'add', path: '/constructor', value: 1 }])
  t.deepEqual(diffJson({ toString: 1 }, {}), [{ op: 'remove', path: '/toString' }])
})

test('names are escaped as RFC 6901 says', (t) => {
  t.deepEqual(diffJson({}, { 'a/b~c': 1 }), [{ op: 'add', path: '/a~1b~0c', value: 1 }])
})
