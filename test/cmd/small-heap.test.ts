import test from 'ava'
import { setImmediate as turn } from 'node:timers/promises'
import { keepHeapSmall } from '../../cmd/sidecar/small-heap.ts'

test('garbage is collected when asked, each time, and nothing else is', async (t) => {
  const collect = keepHeapSmall()
  const kept = {}
  const references: WeakRef<object>[] = [new WeakRef(kept)]
  for (const how of ['quickly', 'thoroughly', 'quickly'] as const) {
    references.push(new WeakRef({}))
    // Until the end of a turn what a WeakRef was made of is kept.
    await turn()
    collect(how)
  }
  t.deepEqual(
    references.map((it) => it.deref()),
    [kept, undefined, undefined, undefined],
  )
})
