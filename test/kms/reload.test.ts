import test, { type ExecutionContext } from 'ava'
import { readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { KeyTrial } from '../../src/kms/self-test.ts'
import type { KeyringStore } from '../../src/keyring/store.ts'
import { freshRoot, keyringLab } from '../support/kms-keyring.ts'
import { heldClock, kmsParts } from '../support/kms-parts.ts'
import { until } from '../support/until.ts'

async function reloading(
  t: ExecutionContext,
  options: {
    readonly empty?: boolean
    readonly attempt?: KeyTrial
    readonly clock?: Clock
    readonly store?: (real: KeyringStore) => KeyringStore
  } = {},
) {
  const lab = await keyringLab(t, options)
  const roots = { current: [lab.root] }
  const parts = kmsParts({
    ...options,
    store: options.store?.(lab.store) ?? lab.store,
    openRoots: async () => roots.current,
  })
  t.teardown(() => {
    parts.serving.replace(undefined)
  })
  const served = () => parts.serving.snapshot?.keyring
  return { lab, roots, served, ...parts }
}

test('a good keyring is served and recorded as accepted', async (t) => {
  const { lab, reloader, served, of, findings, text } = await reloading(t)
  t.true(await reloader.reload())
  t.is(served()?.generation, 1)
  t.is((await lab.store.highWater())?.digest, served()?.digest)
  t.like(of('kms.keyring_loaded'), [{ fields: { generation: 1, keys: 1 } }])
  t.deepEqual(findings(), [])
  t.regex(await text(), /^latchkey_kms_keyring_generation 1$/m)
})

test('a newer generation replaces it, and the former one’s keys are wiped', async (t) => {
  const { lab, reloader, served } = await reloading(t)
  await reloader.reload()
  const former = served()
  const keyId = await lab.rotate()
  t.true(await reloader.reload())
  t.is(served()?.generation, 3)
  t.is(served()?.active.id, keyId)
  t.throws(() => former?.live(former.active.id).material.expose(), { instanceOf: TypeError })
})

test('what is served already is not loaded again', async (t) => {
  const { reloader, served, of, text } = await reloading(t)
  await reloader.reload()
  const first = served()
  t.true(await reloader.reload())
  t.is(served(), first)
  t.is(of('kms.keyring_loaded').length, 1)
  t.regex(await text(), /reloads_total\{result="unchanged"\} 1/)
})

const newest = async (directory: string): Promise<string> =>
  join(
    directory,
    (await readdir(directory))
      .filter((it) => it.startsWith('keyring.'))
      .sort()
      .at(-1) ?? '',
  )

const spoilings: Record<string, (directory: string) => Promise<void>> = {
  ERR_KEYRING_TORN: async (directory) => {
    await truncate(await newest(directory), 100)
  },
  ERR_KEYRING_NOT_FOUND: async (directory) => {
    for (const name of await readdir(directory)) {
      if (name.startsWith('keyring.')) await rm(join(directory, name))
    }
  },
}
for (const [code, spoil] of Object.entries(spoilings)) {
  test(`${code}: the former keyring serves on, until a good one comes`, async (t) => {
    const { lab, reloader, served, of, findings, text, health, changes } = await reloading(t)
    await reloader.reload()
    const restore = await lab.copy()
    const before = served()
    await spoil(lab.directory)
    t.false(await reloader.reload())
    t.is(served(), before)
    t.deepEqual(findings(), ['degraded keyring-refused'])
    t.true(health.ready)
    const [line] = of('kms.keyring_refused')
    t.like(line, { level: 'error', fields: { serving: 1 }, thrown: { code } })
    t.truthy((line?.thrown as LatchkeyError).hint)
    t.true((await text()).includes(`reloads_total{result="${code}"} 1`))
    await reloader.reload()
    t.is(of('kms.keyring_refused').length, 1, 'told once')
    t.is(changes.count, 2)
    await restore()
    t.true(await reloader.reload())
    t.deepEqual(findings(), [])
    t.is(of('kms.keyring_mended').length, 1)
    await spoil(lab.directory)
    await reloader.reload()
    t.is(of('kms.keyring_refused').length, 2, 'told again after it was mended')
  })
}

test('an older copy and another keyring are refused', async (t) => {
  const { lab, reloader, served, of } = await reloading(t)
  const older = await lab.copy()
  await lab.rotate()
  await reloader.reload()
  await older()
  t.false(await reloader.reload())
  t.like(of('kms.keyring_refused').at(-1)?.thrown, { code: 'ERR_KEYRING_ROLLED_BACK' })
  await rm(lab.directory, { recursive: true })
  await lab.create()
  t.false(await reloader.reload())
  t.like(of('kms.keyring_refused').at(-1)?.thrown, { code: 'ERR_KEYRING_FOREIGN' })
  t.is(served()?.generation, 3)
})

test('a repeated refusal is logged again after ten minutes', async (t) => {
  const clock = heldClock()
  const { reloader, of } = await reloading(t, { clock, empty: true })
  await reloader.reload()
  await clock.advance(599_000)
  await reloader.reload()
  t.is(of('kms.keyring_refused').length, 1)
  await clock.advance(1_000)
  await reloader.reload()
  t.is(of('kms.keyring_refused').length, 2)
})

test('a root outage degrades and does not touch what is served', async (t) => {
  const { lab, roots, reloader, served, findings, health } = await reloading(t)
  await reloader.reload()
  await lab.rotate()
  roots.current = [freshRoot()]
  t.false(await reloader.reload())
  t.is(served()?.generation, 1)
  t.deepEqual(findings(), ['degraded root-unavailable'])
  t.true(health.ready)
  roots.current = [lab.root]
  t.true(await reloader.reload())
  t.is(served()?.generation, 3)
  t.deepEqual(findings(), [])
})

test('without a first keyring nothing is served, and it is looked for until it is there', async (t) => {
  const clock = heldClock()
  const { lab, reloader, served, findings, health } = await reloading(t, { empty: true, clock })
  t.false(await reloader.reload())
  t.is(served(), undefined)
  t.deepEqual(findings(), ['failing no-keyring'])
  t.false(health.ready)
  const stop = new AbortController()
  const running = reloader.run(stop.signal)
  await clock.advance(500)
  t.is(served(), undefined)
  await lab.create()
  // The longest wait between two looks.
  await until(t, () => clock.advance(5_000).then(() => served() !== undefined), {
    what: 'it is served',
  })
  t.is(served()?.generation, 1)
  t.deepEqual(findings(), [])
  stop.abort()
  await running
})

test('a new keyring whose active key does not work is refused; a first one is served as failing', async (t) => {
  const broken = new Set<string>()
  const attempt: KeyTrial = (_keyring, keyId) => {
    if (broken.has(keyId)) throw new Error('broken')
  }
  const { lab, reloader, served, of, findings } = await reloading(t, { attempt })
  await reloader.reload()
  broken.add(await lab.rotate())
  t.false(await reloader.reload())
  t.like(of('kms.keyring_refused').at(-1)?.thrown, { code: 'ERR_KEY_UNUSABLE' })
  t.is(served()?.generation, 1)
  t.is((await lab.store.highWater())?.generation, 1)

  const first = kmsParts({ store: lab.store, openRoots: async () => [lab.root], attempt })
  t.teardown(() => {
    first.serving.replace(undefined)
  })
  t.true(await first.reloader.reload())
  t.deepEqual(first.findings(), ['failing active-key'])
  t.deepEqual(findings(), ['degraded keyring-refused'])
})

test('a keyring is not served before it is durable; one that is so already needs no space', async (t) => {
  let full = false
  const { lab, reloader, served, of } = await reloading(t, {
    store: (real) => ({
      ...real,
      raiseHighWater: async (mark) => {
        if (full) throw new LatchkeyError('ERR_DISK_FULL', 'no space left')
        await real.raiseHighWater(mark)
      },
    }),
  })
  await reloader.reload()
  full = true
  await lab.rotate()
  t.false(await reloader.reload())
  t.is(served()?.generation, 1)
  t.like(of('kms.keyring_refused').at(-1)?.thrown, { code: 'ERR_DISK_FULL' })
  full = false
  await reloader.reload()
  t.is(served()?.generation, 3)

  full = true
  const restarted = kmsParts({
    store: { ...lab.store, raiseHighWater: () => Promise.reject(new Error('read-only')) },
    openRoots: async () => [lab.root],
  })
  t.teardown(() => {
    restarted.serving.replace(undefined)
  })
  t.true(await restarted.reloader.reload())
})

test('a served keyring is no older than the one before, though the high-water file is gone', async (t) => {
  const { lab, reloader, served, of } = await reloading(t)
  const older = await lab.copy()
  await lab.rotate()
  await reloader.reload()
  await older()
  await rm(join(lab.directory, 'high-water'), { force: true })
  t.false(await reloader.reload())
  t.like(of('kms.keyring_refused').at(-1)?.thrown, { code: 'ERR_KEYRING_ROLLED_BACK' })
  t.is(served()?.generation, 3)
})

test('an unexpected error is a refusal, not the end', async (t) => {
  let failing = true
  const { reloader, served, text, of } = await reloading(t, {
    store: (real) => ({
      ...real,
      load: () => (failing ? Promise.reject(new Error('surprise')) : real.load()),
    }),
  })
  t.false(await reloader.reload())
  t.true((await text()).includes('reloads_total{result="ERR_UNKNOWN"} 1'))
  t.is(of('kms.keyring_refused').length, 1)
  failing = false
  t.true(await reloader.reload())
  t.is(served()?.generation, 1)
})

test('looks that overlap are one look', async (t) => {
  const { reloader, of } = await reloading(t)
  t.deepEqual(await Promise.all([reloader.reload(), reloader.reload()]), [true, true])
  t.is(of('kms.keyring_loaded').length, 1)
})

test('files that are no keyring do not disturb', async (t) => {
  const { lab, reloader, served } = await reloading(t)
  await writeFile(join(lab.directory, 'notes.txt'), 'hello', { mode: 0o600 })
  t.true(await reloader.reload())
  t.is(served()?.generation, 1)
})

test('a change while the first look is under way is seen by another look', async (t) => {
  const first = Promise.withResolvers<undefined>()
  let loads = 0
  const { lab, reloader, served } = await reloading(t, {
    store: (real) => ({
      ...real,
      load: async () => {
        const stored = await real.load()
        loads += 1
        if (loads === 2) await first.promise
        return stored
      },
    }),
  })
  const looking = reloader.reload()
  await until(t, () => loads === 2, { what: 'the store is being read' })
  const stop = new AbortController()
  const running = reloader.run(stop.signal)
  await lab.rotate()
  reloader.trigger()
  await nextTurn()
  first.resolve(undefined)
  t.true(await looking)
  await until(t, () => served()?.generation === 3, {
    what: 'the change is served',
  })
  stop.abort()
  await running
})
