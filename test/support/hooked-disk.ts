import type { Disk } from '../../src/clients/disk.ts'

/** One call on a {@link Disk} or on a file it opened. */
export interface DiskCall {
  readonly name: keyof Disk | 'write' | 'sync' | 'close'
  /** What is changed: for `link` and `rename` the new name. */
  readonly path: string
  /** For `link` and `rename`: the name that was there before. */
  readonly from?: string
  /** For `write`. */
  readonly bytes?: Uint8Array
  /** For `create` and `mkdir`. */
  readonly mode?: number
}

/** Stands between a caller and a disk: runs the call, or does something else. */
export type DiskHook = (call: DiskCall, run: () => Promise<void>) => Promise<void>

/** A disk on which every call, those on open files included, goes through `hook`. */
export function hookedDisk(disk: Disk, hook: DiskHook): Disk {
  return {
    create: async (path, mode) => {
      let file: Awaited<ReturnType<Disk['create']>> | undefined
      await hook({ name: 'create', path, mode }, async () => {
        file = await disk.create(path, mode)
      })
      if (file === undefined) throw new TypeError('the hook has neither run the call nor thrown')
      const opened = file
      return {
        write: (bytes) => hook({ name: 'write', path, bytes }, () => opened.write(bytes)),
        sync: () => hook({ name: 'sync', path }, () => opened.sync()),
        close: () => hook({ name: 'close', path }, () => opened.close()),
      }
    },
    link: (from, path) => hook({ name: 'link', path, from }, () => disk.link(from, path)),
    rename: (from, path) => hook({ name: 'rename', path, from }, () => disk.rename(from, path)),
    unlink: (path) => hook({ name: 'unlink', path }, () => disk.unlink(path)),
    mkdir: (path, mode) => hook({ name: 'mkdir', path, mode }, () => disk.mkdir(path, mode)),
    syncDirectory: (path) => hook({ name: 'syncDirectory', path }, () => disk.syncDirectory(path)),
  }
}

/** A disk that writes down the calls made on it, with the bytes as they were then. */
export function recordedDisk(disk: Disk): { readonly disk: Disk; readonly calls: DiskCall[] } {
  const calls: DiskCall[] = []
  const recorded = hookedDisk(disk, async (call, run) => {
    calls.push(call.bytes === undefined ? call : { ...call, bytes: Uint8Array.from(call.bytes) })
    await run()
  })
  return { disk: recorded, calls }
}

/** A disk on which the calls that `fails` chooses fail with the system error `code`, others work. */
export function failingDisk(
  disk: Disk,
  options: { readonly code: string; readonly fails: (call: DiskCall, index: number) => boolean },
): Disk {
  let index = 0
  return hookedDisk(disk, async (call, run) => {
    const fails = options.fails(call, index++)
    // A close that fails has closed all the same.
    if (!fails || call.name === 'close') await run()
    if (fails) throw systemError(options.code)
  })
}

/** An error as Node.js makes them for a failed system call. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code })
}
