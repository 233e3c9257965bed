import { watch as watchFiles, type FSWatcher } from 'chokidar'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** How often it is looked whether the directory is still the one that is watched. */
const lookMs = 1000

/**
 * Calls `onChange` after files of `directory` whose names begin with `prefix` may have changed, until
 * `signal` is aborted. The directory may be missing, come, go, and be replaced: that is noticed
 * within a second, which the watches of the operating system, bound to an inode, do not do. They may
 * also be lost (limits, overflows), so every `recheckMs` milliseconds it calls without need.
 */
export async function watchDirectory(
  directory: string,
  options: {
    readonly prefix: string
    readonly onChange: () => void
    readonly signal: AbortSignal
    readonly recheckMs: number
  },
): Promise<void> {
  const { signal } = options
  const changed = (): void => {
    if (!signal.aborted) options.onChange()
  }
  let watched = 'nothing yet'
  let watcher: FSWatcher | undefined
  const follow = async (): Promise<void> => {
    const there = await identityOf(directory)
    if (there === watched) return
    watched = there
    await watcher?.close()
    watcher =
      there === 'missing' ? undefined : watchFiles(directory, { depth: 0, ignoreInitial: true })
    watcher?.on('all', (event, path) => {
      // Another directory of this name may get the inode number of this one.
      if (event === 'unlinkDir' && path === directory) watched = 'gone'
      if (path === directory || path.startsWith(`${directory}/${options.prefix}`)) changed()
    })
    watcher?.on('error', () => undefined)
    watcher?.on('ready', changed)
    changed()
  }
  let lastCall = performance.now()
  while (!signal.aborted) {
    await follow()
    await sleep(Math.min(lookMs, options.recheckMs), undefined, { signal }).catch(() => undefined)
    if (performance.now() - lastCall < options.recheckMs) continue
    lastCall = performance.now()
    changed()
  }
  await watcher?.close()
}

async function identityOf(directory: string): Promise<string> {
  try {
    const { dev, ino, birthtimeMs } = await stat(directory)
    return `${dev}:${ino}:${birthtimeMs}`
  } catch {
    return 'missing'
  }
}
