import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * From now on this process stays small rather than become fast. Without V8's optimising compilers,
 * which a program that writes a few files has no use for, it keeps 8 MB less after many updates.
 *
 * @returns what collects all garbage at once, in about ten milliseconds.
 */
export function keepHeapSmall(): () => void {
  for (const flag of ['--no-opt', '--no-maglev', '--expose-gc']) setFlagsFromString(flag)
  return () => {
    // A context of its own, because `gc` is put into new contexts only; it is garbage the next time.
    const collect = runInNewContext('gc') as () => void
    collect()
  }
}
