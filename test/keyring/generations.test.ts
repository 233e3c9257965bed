import test from 'ava'
import { mkdtemp, rm, writeFile, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEnvelope, sealEnvelope } from '../../src/keyring/envelope.ts'
import {
  addRoots,
  amendKeyring,
  createKeyring,
  replaceRoots,
  restoreBackup,
  sealBackup,
} from '../../src/keyring/generations.ts'
import { parseDocument } from '../../src/keyring/document.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { checkLineage } from '../../src/keyring/lineage.ts'
import { markOf } from '../../src/keyring/load.ts'
import { activateKey, destroyKey, retireKey, stageKey } from '../../src/keyring/transitions.ts'
import { cheapPassphraseRoot, deps, newKeyring, newRoot, reopen } from '../support/keyrings.ts'

const createdAt = '2026-01-02T03:04:05Z'
const { random } = deps

/** A keyring with a key in every state but staged. */
async function grown(): Promise<Awaited<ReturnType<typeof newKeyring>>> {
  const { keyring, root } = await newKeyring('prod')
  let last = keyring
  for (let count = 0; count < 3; count += 1) {
    last = await reopen(stageKey(last, deps).document, root)
    last = await reopen(activateKey(last, deps).document, root)
  }
  const [oldest, older] = last.keys
  for (const key of [oldest, older]) {
    last = await reopen(retireKey(last, key?.id ?? '', deps).document, root)
  }
  const next = destroyKey(last, oldest?.id ?? '', deps).document
  return { keyring: await reopen(next, root), root, bytes: next.bytes }
}

const publicParts = (keyring: Keyring): unknown =>
  keyring.keys.map(({ id, clusterId, state, createdAt: born, changedAt }) => ({
    id,
    clusterId,
    state,
    born,
    changedAt,
  }))

test('a new keyring has generation 1, one active key, no ancestors', async (t) => {
  const { keyring } = await newKeyring('prod')
  t.is(keyring.generation, 1)
  t.deepEqual(keyring.ancestors, [])
  t.is(keyring.clusterId, 'prod')
  t.deepEqual(
    keyring.keys.map(({ id, state }) => [id, state]),
    [[keyring.active.id, 'active']],
  )
  t.is(keyring.active.clusterId, 'prod')
})

test('without a cluster id one is made, different each time and well-formed', async (t) => {
  const ids = new Set<string>()
  for (let count = 0; count < 200; count += 1) {
    const { bytes } = await createKeyring({ clusterId: undefined, roots: [newRoot()] }, deps)
    ids.add(parseDocument(bytes, 'keyring').body.clusterId)
  }
  t.is(ids.size, 200)
})

for (const clusterId of ['', '-a', 'a-', 'a b', 'a/b', 'é', 'x'.repeat(64), 'a\n']) {
  test(`the cluster id ${JSON.stringify(clusterId)} is used wrongly`, async (t) => {
    await t.throwsAsync(createKeyring({ clusterId, roots: [newRoot()] }, deps), {
      code: 'ERR_USAGE',
    })
  })
}

test('a keyring needs a root', async (t) => {
  await t.throwsAsync(createKeyring({ clusterId: 'c', roots: [] }, deps), { code: 'ERR_USAGE' })
  const { keyring } = await newKeyring()
  await t.throwsAsync(replaceRoots(keyring, [], deps), { code: 'ERR_USAGE' })
  await t.throwsAsync(sealBackup(keyring, [], deps), { code: 'ERR_USAGE' })
})

test('each root opens a keyring alone, and adding one leaves the others', async (t) => {
  const { keyring, root } = await grown()
  const [second, passphrase] = [newRoot(), cheapPassphraseRoot('a passphrase')]
  const two = await reopen(await addRoots(keyring, [second], deps), root)
  const three = await addRoots(two, [passphrase], deps)
  for (const one of [root, second, passphrase]) {
    const opened = await reopen(three, one)
    t.is(opened.slots.length, 3)
    t.deepEqual(publicParts(opened), publicParts(keyring))
    t.is(checkLineage(opened, markOf(keyring)), 'newer')
  }
  const stranger = reopen(three, newRoot())
  await t.throwsAsync(stranger, { code: 'ERR_ROOT_WRONG', message: /\(file, file, passphrase\)/ })
})

test('replaced roots open no longer, nor does the former keyring key', async (t) => {
  const { keyring, root } = await grown()
  const fresh = newRoot()
  const next = await replaceRoots(keyring, [fresh], deps)
  await t.throwsAsync(reopen(next, root), { code: 'ERR_ROOT_WRONG' })
  const opened = await reopen(next, fresh)
  t.notDeepEqual(opened.keyringKey().expose(), keyring.keyringKey().expose())
  t.deepEqual(publicParts(opened), publicParts(keyring))
  t.is(opened.keyringId, keyring.keyringId)
  t.is(checkLineage(opened, markOf(keyring)), 'newer')
  for (const { id, state } of keyring.keys) {
    if (state === 'destroyed') continue
    t.deepEqual(opened.live(id).material.expose(), keyring.live(id).material.expose())
    t.notDeepEqual(opened.find(id)?.wrapped, keyring.find(id)?.wrapped)
  }
})

test('a backup restores without the directory and without the root', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-backup-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'backup')
  const passphrase = (): ReturnType<typeof newRoot> => cheapPassphraseRoot('a passphrase')
  const ciphertexts = new Map<string, Uint8Array>()
  let parts: unknown
  {
    const { keyring } = await grown()
    parts = publicParts(keyring)
    for (const { id, state } of keyring.keys) {
      if (state === 'destroyed') continue
      ciphertexts.set(id, sealEnvelope(Buffer.from(id), { key: keyring.live(id), random }))
    }
    await writeFile(path, await sealBackup(keyring, [passphrase()], deps))
    keyring[Symbol.dispose]()
  }
  const bytes = await readFile(path)
  const backup = await Keyring.open(bytes, { roots: [passphrase()], kind: 'backup' })
  const root = newRoot()
  const restored = await reopen(await restoreBackup(backup, [root], deps), root)
  t.deepEqual(publicParts(restored), parts)
  t.is(restored.clusterId, 'prod')
  t.is(ciphertexts.size, 3)
  for (const [id, ciphertext] of ciphertexts) {
    const opened = openEnvelope(ciphertext, { key: restored.live(id) })
    t.is(Buffer.from(opened.expose()).toString(), id)
  }
  const staged = await reopen(stageKey(restored, deps).document, root)
  t.is(staged.generation, restored.generation + 1, 'it goes on')
})

test('what was restored descends from what the backup was made of, and goes above it', async (t) => {
  const { keyring, root } = await grown()
  const passphrase = cheapPassphraseRoot('a passphrase')
  const bytes = await sealBackup(keyring, [passphrase], deps)
  const backup = await Keyring.open(bytes, { roots: [passphrase], kind: 'backup' })
  t.is(backup.generation, keyring.generation)
  const restored = await reopen(await restoreBackup(backup, [root], deps), root)
  t.is(restored.generation, keyring.generation + 1)
  t.is(checkLineage(restored, markOf(keyring)), 'newer')
  const above = await restoreBackup(backup, [root], { ...deps, minGeneration: 500 })
  t.is(above.generation, 500)
  const later = await reopen(amendKeyring(keyring, { createdAt }), root)
  t.throws(() => checkLineage(restored, markOf(later)), { code: 'ERR_KEYRING_FORKED' })
})

test('a key that was staged when the backup was made counts as used after a restore', async (t) => {
  const { keyring, root } = await newKeyring()
  const staged = await reopen(stageKey(keyring, deps).document, root)
  const bytes = await sealBackup(staged, [root], deps)
  const backup = await Keyring.open(bytes, { roots: [root], kind: 'backup' })
  const restored = await reopen(await restoreBackup(backup, [root], deps), root)
  t.deepEqual(
    restored.keys.map(({ state }) => state),
    ['active', 'superseded'],
  )
  const id = restored.keys[1]?.id ?? ''
  t.throws(() => destroyKey(restored, id, deps), { code: 'ERR_WOULD_LOSE_DATA' })
})

test('a backup opens neither with the root nor as a keyring, nor a keyring as a backup', async (t) => {
  const { keyring, root, bytes } = await newKeyring()
  const passphrase = cheapPassphraseRoot('a passphrase')
  const backup = await sealBackup(keyring, [passphrase], deps)
  const open = (document: Uint8Array, kind: 'keyring' | 'backup', one = root): Promise<Keyring> =>
    Keyring.open(document, { roots: [one], kind })
  await t.throwsAsync(open(backup, 'backup'), { code: 'ERR_ROOT_WRONG' })
  await t.throwsAsync(open(backup, 'keyring', passphrase), { code: 'ERR_KEYRING_FOREIGN' })
  await t.throwsAsync(open(bytes, 'backup'), { code: 'ERR_KEYRING_FOREIGN' })
  const wrong = cheapPassphraseRoot('another passphrase')
  await t.throwsAsync(open(backup, 'backup', wrong), { code: 'ERR_ROOT_WRONG' })
})

test('a backup is no keyring to work on, and a keyring none to restore', async (t) => {
  const { keyring } = await newKeyring()
  const root = newRoot()
  const bytes = await sealBackup(keyring, [root], deps)
  const backup = await Keyring.open(bytes, { roots: [root], kind: 'backup' })
  const mistake = { instanceOf: TypeError }
  t.throws(() => stageKey(backup, deps), mistake)
  t.throws(() => amendKeyring(backup, { createdAt }), mistake)
  await t.throwsAsync(addRoots(backup, [root], deps), mistake)
  await t.throwsAsync(replaceRoots(backup, [root], deps), mistake)
  await t.throwsAsync(sealBackup(backup, [root], deps), mistake)
  await t.throwsAsync(restoreBackup(keyring, [root], deps), mistake)
})

test('a limit of the format is an error before anything is written', async (t) => {
  const { keyring, root } = await newKeyring()
  const sixteen = await addRoots(keyring, Array.from({ length: 15 }, newRoot), deps)
  const full = await reopen(sixteen, root)
  await t.throwsAsync(addRoots(full, [newRoot()], deps), {
    code: 'ERR_KEYRING_FULL',
    message: /at most 16 slots/,
  })
  await t.notThrowsAsync(replaceRoots(full, [newRoot()], deps), 'its remedy works')
  const tombstones = Array.from({ length: 4096 }, (_, index) => ({
    ...keyring.active,
    id: `lk1.1.${String(index).padStart(21, '0')}A`,
    state: 'destroyed' as const,
    wrapped: undefined,
  }))
  const most = amendKeyring(keyring, {
    keys: [...keyring.keys, ...tombstones.slice(1)],
    createdAt,
  })
  t.is((await reopen(most, root)).keys.length, 4096)
  t.throws(() => amendKeyring(keyring, { keys: [...keyring.keys, ...tombstones], createdAt }), {
    code: 'ERR_KEYRING_FULL',
    message: /at most 4096 keys/,
  })
  const backup = await Keyring.open(await sealBackup(keyring, [root], deps), {
    roots: [root],
    kind: 'backup',
  })
  await t.throwsAsync(restoreBackup(backup, [root], { ...deps, minGeneration: 10_000_000_000 }), {
    code: 'ERR_KEYRING_FULL',
  })
})

test('what a root gives that no reader takes is a mistake, not a lost keyring', async (t) => {
  const { keyring } = await newKeyring()
  const odd = (params: Record<string, string | number>, wrapped = random(8)) => ({
    ...newRoot(),
    wrap: async () => ({ params, wrapped }),
  })
  await t.notThrowsAsync(addRoots(keyring, [odd({ n: 1 })], deps))
  for (const root of [
    odd({ n: NaN }),
    odd({ Name: 'x' }),
    odd({ n: 'é' }),
    odd({}, random(5000)),
  ]) {
    await t.throwsAsync(addRoots(keyring, [root], deps), { instanceOf: TypeError })
  }
})

test('a slot of a type to come is kept by changes, and goes when the roots are replaced', async (t) => {
  const { keyring, root } = await newKeyring()
  const future = {
    id: Buffer.from(random(16)).toString('base64url'),
    type: 'future',
    createdAt,
    params: { uri: 'x' },
    wrapped: random(60),
  }
  const next = amendKeyring(keyring, { slots: [future, ...keyring.slots], createdAt })
  const opened = await reopen(next, root)
  const staged = await reopen(stageKey(opened, deps).document, root)
  t.deepEqual(staged.slots[0], future)
  t.is((await reopen(await replaceRoots(staged, [root], deps), root)).slots.length, 1)
})
