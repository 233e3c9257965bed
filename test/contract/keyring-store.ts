import type { ExecutionContext, TestFn } from 'ava'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { amendKeyring, createKeyring } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import type { LineageMark } from '../../src/keyring/lineage.ts'
import { loadRevision } from '../../src/keyring/load.ts'
import type { KeyringStore } from '../../src/keyring/store.ts'
import { deps, newRoot } from '../support/keyrings.ts'

/** Opens a handle on one and the same storage, as another process would; empty at first. */
export type OpenStores = (t: ExecutionContext) => Promise<() => KeyringStore>

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

const mark = (id: string, ancestors: readonly string[] = []): LineageMark => ({
  keyringId: 'AAAAAAAAAAAAAAAAAAAAAA',
  generation: ancestors.length + 1,
  digest: digest(id),
  ancestors: ancestors.map(digest),
})

const digest = (id: string): string => `sha256:${id.repeat(64)}`

/** What every {@link KeyringStore} must do. */
export function keyringStoreContract(test: TestFn, title: string, openStores: OpenStores): void {
  test(`${title}: an empty store holds nothing and remembers nothing`, async (t) => {
    const store = (await openStores(t))()
    t.is(await store.load(), undefined)
    t.is(await store.highWater(), undefined)
    t.not(store.location, '')
  })

  test(`${title}: what was published is current, byte for byte, for everybody`, async (t) => {
    const open = await openStores(t)
    const content = new Uint8Array(256).map((_, index) => index)
    await open().publish(content, { replaces: undefined })
    const stored = await open().load()
    t.deepEqual(stored?.bytes, content)
    t.true(stored?.location.includes(open().location))
  })

  test(`${title}: each publication has a higher revision`, async (t) => {
    const store = (await openStores(t))()
    let replaces: number | undefined
    for (let count = 0; count < 5; count += 1) {
      await store.publish(bytes(`document ${count}`), { replaces })
      const stored = await store.load()
      t.deepEqual(stored?.bytes, bytes(`document ${count}`))
      t.true((stored?.revision ?? 0) > (replaces ?? 0))
      replaces = stored?.revision
    }
  })

  test(`${title}: a store that holds something is never begun anew`, async (t) => {
    const open = await openStores(t)
    await open().publish(bytes('first'), { replaces: undefined })
    await t.throwsAsync(open().publish(bytes('second'), { replaces: undefined }), {
      code: 'ERR_KEYRING_EXISTS',
    })
    t.deepEqual((await open().load())?.bytes, bytes('first'))
  })

  test(`${title}: replacing what is not current changes nothing`, async (t) => {
    const open = await openStores(t)
    await t.throwsAsync(open().publish(bytes('stray'), { replaces: 1 }), {
      code: 'ERR_KEYRING_CONFLICT',
    })
    t.is(await open().load(), undefined)
    await open().publish(bytes('first'), { replaces: undefined })
    const first = await open().load()
    await open().publish(bytes('second'), { replaces: first?.revision })
    for (const replaces of [first?.revision, 0, (first?.revision ?? 0) + 2]) {
      await t.throwsAsync(open().publish(bytes('third'), { replaces }), {
        code: 'ERR_KEYRING_CONFLICT',
      })
    }
    t.deepEqual((await open().load())?.bytes, bytes('second'))
  })

  test(`${title}: of concurrent publishers exactly one wins, the others learn of it`, async (t) => {
    const open = await openStores(t)
    let replaces: number | undefined
    for (let round = 0; round < 20; round += 1) {
      const current = replaces
      const outcomes = await Promise.all(
        Array.from({ length: 6 }, async (_, publisher) => {
          const content = bytes(`round ${round}, publisher ${publisher}`)
          try {
            await open().publish(content, { replaces: current })
            return content
          } catch (error) {
            const code = current === undefined ? 'ERR_KEYRING_EXISTS' : 'ERR_KEYRING_CONFLICT'
            t.true(isLatchkeyError(error, code), String(error))
            return undefined
          }
        }),
      )
      const winners = outcomes.filter((outcome) => outcome !== undefined)
      t.is(winners.length, 1)
      const stored = await open().load()
      t.deepEqual(stored?.bytes, winners[0])
      replaces = stored?.revision
    }
  })

  test(`${title}: no change is lost among writers who load, change and publish`, async (t) => {
    const open = await openStores(t)
    const roots = [newRoot()]
    const first = await createKeyring({ clusterId: 'c', roots }, deps)
    await open().publish(first.bytes, { replaces: undefined })
    const writers = Array.from({ length: 3 }, async () => {
      const store = open()
      for (let left = 8; left > 0;) {
        const loaded = await loadRevision(store, { roots, mark: undefined })
        const next = amendKeyring(loaded.keyring, { createdAt: '2026-01-02T03:04:05Z' })
        try {
          await store.publish(next.bytes, { replaces: loaded.revision })
          left -= 1
        } catch (error) {
          if (!isLatchkeyError(error, 'ERR_KEYRING_CONFLICT')) throw error
        }
      }
    })
    await Promise.all(writers)
    const stored = await open().load()
    const keyring = await Keyring.open(stored?.bytes ?? new Uint8Array(0), { roots })
    t.is(keyring.generation, 1 + 3 * 8)
  })

  test(`${title}: a reader sees whole documents, and never an older one again`, async (t) => {
    const open = await openStores(t)
    const content = (count: number): Uint8Array => new Uint8Array(20_000).fill(count)
    await open().publish(content(0), { replaces: undefined })
    const done = new AbortController()
    const reading = (async () => {
      const reader = open()
      let last = 0
      while (!done.signal.aborted) {
        const stored = await reader.load()
        t.true((stored?.revision ?? 0) >= last)
        t.deepEqual(stored?.bytes, content(stored?.bytes[0] ?? -1))
        last = stored?.revision ?? 0
      }
    })()
    const writer = open()
    for (let count = 1; count <= 30; count += 1) {
      const revision = (await writer.load())?.revision
      await writer.publish(content(count), { replaces: revision })
    }
    done.abort()
    await reading
  })

  test(`${title}: a watcher learns of every last change, also of the first`, async (t) => {
    const open = await openStores(t)
    const controller = new AbortController()
    const seen: string[] = []
    let wake: () => void = () => undefined
    const watcher = open()
    let calls = 0
    // One after the other: a load that was begun earlier may end later.
    let loading = Promise.resolve()
    const watching = watcher.watch(() => {
      calls += 1
      loading = loading.then(async () => {
        const stored = await watcher.load()
        seen.push(stored === undefined ? 'nothing' : Buffer.from(stored.bytes).toString())
        wake()
      })
    }, controller.signal)
    const until = async (text: string): Promise<void> => {
      while (seen.at(-1) !== text) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    let replaces: number | undefined
    for (const text of ['one', 'two', 'three']) {
      await open().publish(bytes(text), { replaces })
      await until(text)
      replaces = (await open().load())?.revision
    }
    for (let count = 0; count < 10; count += 1) {
      await open().publish(bytes(`burst ${count}`), { replaces })
      replaces = (await open().load())?.revision
    }
    await until('burst 9')
    controller.abort()
    await watching
    const called = calls
    await open().publish(bytes('unseen'), { replaces })
    await new Promise((resolve) => setTimeout(resolve, 100))
    t.is(calls, called, 'a watcher that was stopped is not called')
  })

  test(`${title}: a watch whose signal is aborted already ends at once`, async (t) => {
    const store = (await openStores(t))()
    await store.watch(() => {
      t.fail('called')
    }, AbortSignal.abort())
    t.pass()
  })

  test(`${title}: the high-water mark is kept, goes up, and never down`, async (t) => {
    const open = await openStores(t)
    await open().publish(bytes('any'), { replaces: undefined })
    await open().raiseHighWater(mark('a'))
    t.deepEqual(await open().highWater(), mark('a'))
    await open().raiseHighWater(mark('c', ['b', 'a']))
    for (const older of [mark('b', ['a']), mark('a')]) {
      await open().raiseHighWater(older)
      t.deepEqual(await open().highWater(), mark('c', ['b', 'a']))
    }
    await open().raiseHighWater(mark('c', ['b', 'a']))
    t.deepEqual(await open().highWater(), mark('c', ['b', 'a']))
    const adopted = mark('f', ['e', 'd'])
    await open().raiseHighWater(adopted)
    t.deepEqual(await open().highWater(), adopted, 'another lineage is what a person has chosen')
  })

  test(`${title}: publishing and the high-water mark leave each other alone`, async (t) => {
    const open = await openStores(t)
    await open().publish(bytes('any'), { replaces: undefined })
    const before = await open().load()
    await open().raiseHighWater(mark('a'))
    t.deepEqual(await open().load(), before)
    await open().publish(bytes('other'), { replaces: before?.revision })
    t.deepEqual(await open().highWater(), mark('a'))
  })
}
