import test from 'ava'
import { once } from 'node:events'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { filesOf, publisherAt, temporaryDirectory } from '../../support/publishing.ts'

/** What a reader counted. */
export interface ReaderCounts {
  /** Both files read through one resolved link, of one set. */
  whole: number
  /** Of two sets. */
  mixed: number
  /** The resolved generation was already gone. */
  gone: number
  /** Of two sets, read by path, while `..version` was the same before and after. */
  straddled: number
  /** Different sets that were seen. */
  versions: number
}

test('readers that reopen thousands of times during hundreds of changes never see a mix', async (t) => {
  const root = temporaryDirectory(t)
  const publisher = publisherAt(root)
  const publish = (number: number): void => {
    const text = `${number} `.repeat(500)
    publisher.publish(filesOf({ cert: text, key: text }))
  }
  publish(0)
  // Whether to go on reading, and what the reader has seen so far: sets, and different ones.
  const shared = new Int32Array(new SharedArrayBuffer(12))
  shared[0] = 1
  const directory = join(root, 'etc/app/db')
  const worker = new Worker(new URL('reader-worker.ts', import.meta.url), {
    workerData: { directory, shared },
  })
  const answer = once(worker, 'message') as Promise<[ReaderCounts]>
  await once(worker, 'online')
  const hasReadEnough = (): boolean =>
    Atomics.load(shared, 1) > 1000 && Atomics.load(shared, 2) > 50
  const until = performance.now() + 3_000
  let changes = 0
  // On a busy machine the reader may be long in coming.
  while (changes < 500 || (changes < 5000 && (performance.now() < until || !hasReadEnough()))) {
    changes += 1
    publish(changes)
    await nextTurn()
  }
  Atomics.store(shared, 0, 0)
  const [counts] = await answer
  t.log(`${changes} changes`, counts)
  t.is(counts.mixed, 0)
  t.is(counts.straddled, 0)
  t.true(counts.whole + counts.gone > 1000, 'the reader read')
  t.true(counts.versions > 50, 'the reader saw changes')
})
