import type { ExecutionContext } from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'

/** Waits up to `withinMs` (default 30 s) for `condition`, and asserts it. */
export async function until(
  t: ExecutionContext,
  condition: () => boolean | Promise<boolean>,
  options: { readonly what: string; readonly withinMs?: number },
): Promise<void> {
  const deadline = performance.now() + (options.withinMs ?? 30_000)
  let happened = await condition()
  while (!happened && performance.now() < deadline) {
    await sleep(10)
    happened = await condition()
  }
  t.true(happened, `never happened: ${options.what}`)
}
