import test from 'ava'
import { X509Certificate } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '../../src/base/bytes.ts'
import { TokenFile } from '../../src/sidecar/broker/token.ts'
import { TrustStore } from '../../src/sidecar/broker/trust.ts'
import { readBundle, vouchesFor } from '../../src/sidecar/broker/peer-chain.ts'
import { Journal } from '../../src/sidecar/journal.ts'
import { systemFileOperations } from '../../src/sidecar/publish/file-operations.ts'
import { StateDirectory } from '../../src/sidecar/state-directory.ts'
import { createAuthority } from '../e2e/support/authority.ts'
import { failing, killedAt, temporaryDirectory } from '../support/publishing.ts'

const [first, second] = [await createAuthority('first'), await createAuthority('second')]
const leafOf = async (authority: typeof first): Promise<X509Certificate> =>
  new X509Certificate((await authority.issue({ commonName: 'broker', use: ['server'] })).cert)
const [firstLeaf, secondLeaf] = [await leafOf(first), await leafOf(second)]

const stateIn = (root: string, operations = systemFileOperations): StateDirectory =>
  new StateDirectory({ root, path: '/run/latchkey' }, operations)

test('a document is replaced as a whole and is its owner’s alone', (t) => {
  const root = temporaryDirectory(t)
  const state = stateIn(root)
  t.is(state.read('a.json'), undefined)
  state.write('a.json', 'one')
  state.write('a.json', 'two')
  t.is(state.read('a.json'), 'two')
  t.is(fs.statSync(join(root, 'run/latchkey/a.json')).mode & 0o777, 0o600)
  t.is(fs.statSync(join(root, 'run/latchkey')).mode & 0o777, 0o700)
  t.deepEqual(fs.readdirSync(join(root, 'run/latchkey')), ['a.json'])
})

test('stopped before any system call of a write, a document is the old or the new one', (t) => {
  for (let at = 1; ; at += 1) {
    const root = temporaryDirectory(t)
    stateIn(root).write('a', 'old')
    const operations = killedAt(at)
    try {
      stateIn(root, operations).write('a', 'new')
    } catch {
      // A process that is no more reports nothing.
    }
    t.true(['old', 'new'].includes(stateIn(root).read('a') ?? ''))
    stateIn(root).write('a', 'next')
    t.is(stateIn(root).read('a'), 'next')
    t.deepEqual(fs.readdirSync(join(root, 'run/latchkey')), ['a'])
    if (operations.count() < at) break
  }
})

test('a full volume leaves the old document', (t) => {
  const root = temporaryDirectory(t)
  stateIn(root).write('a', 'old')
  const full = stateIn(root, failing('write', 'ENOSPC'))
  t.throws(
    () => {
      full.write('a', 'new')
    },
    { code: 'ERR_DISK_FULL' },
  )
  t.is(stateIn(root).read('a'), 'old')
})

test('a journal is of one plan, and a broken one counts as nothing', (t) => {
  const root = temporaryDirectory(t)
  const journal = Journal.open(stateIn(root), 'plan-1')
  journal.update({ started: true, deniedSince: { 0: 5 }, boundFiles: { 1: 'emptied' } })
  journal.markHooks([3, 1, 3])
  t.deepEqual(Journal.open(stateIn(root), 'plan-1').state, {
    started: true,
    pendingHooks: [1, 3],
    deniedSince: { 0: 5 },
    boundFiles: { 1: 'emptied' },
  })
  t.false(Journal.open(stateIn(root), 'plan-2').state.started)
  for (const text of ['', '{', '[]', 'null', '{"format":2}', '{"format":1,"plan":"plan-1"}']) {
    stateIn(root).write('journal.json', text)
    t.false(Journal.open(stateIn(root), 'plan-1').state.started)
  }
})

test('the bundle that a pod was started with is all there is at first', (t) => {
  const trust = new TrustStore(stateIn(temporaryDirectory(t)), () => first.cert)
  t.deepEqual(trust.candidates(), [first.cert])
})

test('a bundle that verifies its own connection is adopted, preferred and kept over restarts', (t) => {
  const root = temporaryDirectory(t)
  const both = `${first.cert}\n${second.cert}`
  const trust = new TrustStore(stateIn(root), () => first.cert)
  t.is(trust.adopt(both, [firstLeaf], Date.now()), 'adopted')
  t.is(trust.adopt(both, [firstLeaf], Date.now()), 'known')
  t.deepEqual(trust.candidates(), [both, first.cert])
  t.deepEqual(new TrustStore(stateIn(root), () => first.cert).candidates(), [both, first.cert])
})

test('a bundle that does not verify its own connection, or is none, is refused', (t) => {
  const trust = new TrustStore(stateIn(temporaryDirectory(t)), () => first.cert)
  t.is(trust.adopt(second.cert, [firstLeaf], Date.now()), 'refused')
  t.is(trust.adopt('', [firstLeaf], Date.now()), 'refused')
  t.is(
    trust.adopt('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', [], 0),
    'refused',
  )
  t.is(trust.adopt(first.cert.repeat(33), [firstLeaf], Date.now()), 'refused')
  t.deepEqual(trust.candidates(), [first.cert])
})

test('other authorities from the operator make an adopted bundle void', (t) => {
  const root = temporaryDirectory(t)
  const both = `${first.cert}\n${second.cert}`
  new TrustStore(stateIn(root), () => first.cert).adopt(both, [firstLeaf], Date.now())
  t.deepEqual(new TrustStore(stateIn(root), () => second.cert).candidates(), [second.cert])
})

test('an authority vouches for what it signed, while it is valid', (t) => {
  const bundle = readBundle(first.cert) ?? []
  t.true(vouchesFor(bundle, [firstLeaf], Date.now()))
  t.false(vouchesFor(bundle, [secondLeaf], Date.now()))
  t.false(vouchesFor(bundle, [firstLeaf], Date.now() + 10 * 86_400_000))
  t.false(vouchesFor([firstLeaf], [firstLeaf], Date.now()), 'a leaf is no authority')
})

test('a token is read without its line end, sent once, and again when it is another', (t) => {
  let content = 'one\r\n'
  const token = new TokenFile('/token', () => utf8(content))
  const text = (each: ReturnType<TokenFile['takeIfNew']>): string | undefined =>
    each && Buffer.from(each.expose()).toString()
  t.is(text(token.take()), 'one')
  t.is(token.takeIfNew(), undefined)
  content = 'two'
  t.is(text(token.takeIfNew()), 'two')
  t.is(token.takeIfNew(), undefined)
})

test('what is no token is refused, without its content', (t) => {
  for (const content of ['', '\n', 'a b', 'a\nb', 'ä', 'MARKER\0', 'x'.repeat(16_385)]) {
    const error = t.throws(() => new TokenFile('/token', () => utf8(content)).take(), {
      code: 'ERR_TOKEN_INVALID',
    })
    t.notRegex(error.message, /MARKER|xxx/)
  }
})
