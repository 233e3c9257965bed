import test from 'ava'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { amendKeyring } from '../../src/keyring/generations.ts'
import { loadKeyring, loadRevision, markOf, markOfDocument } from '../../src/keyring/load.ts'
import { emptyMemory, memoryKeyringStore } from '../support/memory-keyring-store.ts'
import { newKeyring, newRoot, reopen } from '../support/keyrings.ts'

const createdAt = '2026-01-02T03:04:05Z'

test('the current keyring is opened, with the revision that a change would replace', async (t) => {
  const store = memoryKeyringStore(emptyMemory())
  const { keyring, root, bytes } = await newKeyring()
  await store.publish(bytes, { replaces: undefined })
  t.is((await loadKeyring(store, { roots: [root] })).digest, keyring.digest)
  const loaded = await loadRevision(store, { roots: [root], mark: undefined })
  t.is(loaded.revision, 1)
  const next = amendKeyring(loaded.keyring, { createdAt })
  await store.publish(next.bytes, { replaces: loaded.revision })
  t.is((await loadKeyring(store, { roots: [root] })).generation, 2)
})

test('an empty store says how a keyring comes to be', async (t) => {
  const store = memoryKeyringStore(emptyMemory())
  const error = await t.throwsAsync(loadKeyring(store, { roots: [newRoot()] }), {
    code: 'ERR_KEYRING_NOT_FOUND',
  })
  t.true(isLatchkeyError(error) && error.hint?.includes('keys init'))
})

test('a keyring that is gone is no reason to make a new one', async (t) => {
  const store = memoryKeyringStore(emptyMemory())
  await store.raiseHighWater(markOf((await newKeyring()).keyring))
  const error = await t.throwsAsync(loadKeyring(store, { roots: [newRoot()] }), {
    code: 'ERR_KEYRING_NOT_FOUND',
    message: /is gone: this node used its generation 1/,
  })
  t.true(isLatchkeyError(error) && error.hint?.includes('keys restore'))
})

test('an older copy, a fork and a stranger are refused, the next generation is not', async (t) => {
  const { keyring, root, bytes } = await newKeyring()
  const second = amendKeyring(keyring, { createdAt })
  const third = amendKeyring(await reopen(second, root), { createdAt })
  const fork = amendKeyring(keyring, { createdAt: '2026-02-02T03:04:05Z' })
  const stranger = await newKeyring()
  for (const [document, opens, code] of [
    [second.bytes, root, undefined],
    [third.bytes, root, undefined],
    [bytes, root, 'ERR_KEYRING_ROLLED_BACK'],
    [fork.bytes, root, 'ERR_KEYRING_FORKED'],
    [stranger.bytes, stranger.root, 'ERR_KEYRING_FOREIGN'],
  ] as const) {
    const store = memoryKeyringStore(emptyMemory())
    await store.raiseHighWater(markOfDocument(second.bytes))
    await store.publish(document, { replaces: undefined })
    if (code === undefined) {
      await t.notThrowsAsync(loadKeyring(store, { roots: [opens] }))
    } else {
      await t.throwsAsync(loadKeyring(store, { roots: [opens] }), { code })
    }
    await t.notThrowsAsync(loadRevision(store, { roots: [opens], mark: undefined }))
  }
})

test('what is wrong with a stored document names the place', async (t) => {
  const { root, bytes } = await newKeyring()
  const store = memoryKeyringStore(emptyMemory())
  await store.publish(bytes.subarray(0, 100), { replaces: undefined })
  const error = await t.throwsAsync(loadKeyring(store, { roots: [root] }), {
    code: 'ERR_KEYRING_TORN',
    message: 'memory/1: the keyring is cut short: it was not written whole',
  })
  t.true(isLatchkeyError(error) && error.hint?.startsWith('remove it'))
})

test('a wrong root is not said of the place', async (t) => {
  const { bytes } = await newKeyring()
  const store = memoryKeyringStore(emptyMemory())
  await store.publish(bytes, { replaces: undefined })
  await t.throwsAsync(loadKeyring(store, { roots: [newRoot()] }), {
    code: 'ERR_ROOT_WRONG',
    message: /^the given root/,
  })
})

test('the mark of a document is the mark of the keyring that it opens to', async (t) => {
  const { keyring, bytes } = await newKeyring()
  t.deepEqual(markOfDocument(bytes), markOf(keyring))
})
