import type { TestFn } from 'ava'
import { useGround, type Ground } from '../e2e/support/ground.ts'

/** Runs `body` on a ground of its own, as a test file would, and closes it afterwards. */
export async function withGround<T>(body: (ground: Ground) => Promise<T>): Promise<T> {
  const closing: (() => Promise<void> | void)[] = []
  const passing: (() => void)[] = []
  const hooks = {
    after: Object.assign((_title: string, done: () => void) => passing.push(done), {
      always: (_title: string, close: () => Promise<void>) => closing.push(close),
    }),
  }
  const ground = useGround(hooks as unknown as TestFn)
  try {
    const result = await body(ground)
    for (const done of passing) done()
    return result
  } finally {
    for (const close of closing) await close()
  }
}
