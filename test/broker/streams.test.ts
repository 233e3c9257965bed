import test from 'ava'
import type { PodStream } from '../../src/broker/stream.ts'
import { Streams } from '../../src/broker/streams.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** What {@link Streams} looks at of a stream. */
function stream(
  instance: string,
  options: { readonly uid?: string; readonly atPodAddress?: boolean } = {},
): PodStream & { readonly endings: readonly string[] } {
  const { uid = 'pod', atPodAddress = false } = options
  const endings: string[] = []
  return {
    instance,
    endings,
    session: { identity: { pod: { uid } }, atPodAddress },
    end: (reason: string) => endings.push(reason),
  } as unknown as ReturnType<typeof stream>
}

function streams(): Streams {
  const unused = {} as ConstructorParameters<typeof Streams>[1]
  return new Streams(
    { maxStreams: 10, maxStreamsPerPod: 3 },
    { ...unused, clock: new ManualClock() },
  )
}

test('a stream ends its predecessor of the same instance', (t) => {
  const all = streams()
  const [first, second, other] = [stream('a'), stream('a'), stream('b')]
  for (const it of [first, other, second]) all.add(it)
  t.deepEqual(first.endings, ['superseded'])
  t.deepEqual(other.endings, [])
})

test('whoever holds a token elsewhere cannot keep the pod itself out', (t) => {
  const all = streams()
  const thieves = ['x', 'y', 'z'].map((instance) => stream(instance))
  for (const thief of thieves) all.add(thief)
  t.throws(
    () => {
      all.add(stream('w'))
    },
    { code: 'ERR_LIMIT' },
  )
  all.add(stream('own', { atPodAddress: true }))
  t.deepEqual(
    thieves.map(({ endings }) => endings),
    [['superseded'], [], []],
  )
})

test('the pod’s own streams are not pushed out, by its own or by others', (t) => {
  const all = streams()
  const own = ['a', 'b', 'c'].map((instance) => stream(instance, { atPodAddress: true }))
  for (const it of own) all.add(it)
  for (const late of [stream('d', { atPodAddress: true }), stream('e')]) {
    t.throws(
      () => {
        all.add(late)
      },
      { code: 'ERR_LIMIT' },
    )
  }
  t.true(own.every(({ endings }) => endings.length === 0))
})
