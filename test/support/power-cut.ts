import * as fs from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { DiskCall } from './hooked-disk.ts'

/** A file's content: what the program wrote, and how much of it the disk has promised to keep. */
interface Inode {
  readonly mode: number
  current: Uint8Array
  synced: Uint8Array
}

/** A change of a directory that the disk has not promised to keep. */
type Change =
  | { readonly do: 'add'; readonly name: string; readonly inode: Inode | 'directory' }
  | {
      readonly do: 'move'
      readonly from: string
      readonly name: string
      readonly inode: Inode | 'directory'
    }
  | { readonly do: 'remove'; readonly name: string }

interface Directory {
  readonly entries: Map<string, Inode | 'directory'>
  /** The entries as the running program sees them. */
  readonly seen: Map<string, Inode | 'directory'>
  pending: Change[]
}

/** What to do with each thing that was not promised. */
export interface Choice {
  /** Whether the disk kept a change of a directory; asked for each, in order. */
  readonly keep: () => boolean
  /** What is left of content that was not synced: all, nothing, a part, or zeros. */
  readonly content: () => 'all' | 'none' | 'half' | 'zeros'
}

/**
 * A model of a disk that loses power: content that was not synced may be lost, cut or zeroed, and
 * changes of a directory that was not synced may each have happened or not, in any combination.
 * Stricter than real file systems, which keep some order.
 */
export class PowerCutDisk {
  readonly #directories = new Map<string, Directory>()

  /** A disk that holds one empty directory, durably. */
  constructor(directory: string) {
    this.#directories.set(directory, { entries: new Map(), seen: new Map(), pending: [] })
  }

  /** How many changes and contents are not promised: 0 when a power cut has one outcome only. */
  get undecided(): number {
    let count = 0
    for (const { pending, seen } of this.#directories.values()) {
      count += pending.length
      for (const inode of seen.values()) {
        if (inode !== 'directory' && inode.synced !== inode.current) count += 1
      }
    }
    return count
  }

  /** Takes one call of the program into account. */
  apply(call: DiskCall): void {
    const directory = this.#parentOf(call.path)
    const name = basename(call.path)
    switch (call.name) {
      case 'create': {
        const empty = new Uint8Array(0)
        const inode: Inode = { mode: call.mode ?? 0, current: empty, synced: empty }
        this.#change(directory, { do: 'add', name, inode })
        return
      }
      case 'write':
        this.#inode(directory, name).current = Uint8Array.from(call.bytes ?? [])
        return
      case 'sync': {
        const inode = this.#inode(directory, name)
        inode.synced = inode.current
        return
      }
      case 'close':
        return
      case 'link': {
        const inode = this.#inode(directory, basename(call.from ?? ''))
        this.#change(directory, { do: 'add', name, inode })
        return
      }
      case 'rename': {
        const from = basename(call.from ?? '')
        this.#change(directory, { do: 'move', from, name, inode: this.#inode(directory, from) })
        return
      }
      case 'unlink':
        this.#change(directory, { do: 'remove', name })
        return
      case 'mkdir':
        this.#change(directory, { do: 'add', name, inode: 'directory' })
        this.#directories.set(call.path, { entries: new Map(), seen: new Map(), pending: [] })
        return
      case 'syncDirectory': {
        // What lies outside the model, such as the parent of all, has nothing to lose.
        const synced = this.#directories.get(call.path)
        if (synced === undefined) return
        for (const change of synced.pending) make(synced.entries, change)
        synced.pending = []
      }
    }
  }

  /** Writes below `target` what a power cut now might leave below `source`. */
  async leave(source: string, target: string, choice: Choice): Promise<void> {
    const directory = this.#directories.get(source)
    if (directory === undefined) throw new Error(`${source} is not on this disk`)
    const entries = new Map(directory.entries)
    for (const change of directory.pending) if (choice.keep()) make(entries, change)
    for (const [name, inode] of entries) {
      const path = `${target}/${name}`
      if (inode === 'directory') {
        await fs.mkdir(path, { mode: 0o700 })
        await this.leave(`${source}/${name}`, path, choice)
      } else {
        await fs.writeFile(path, contentOf(inode, choice), { mode: inode.mode })
      }
    }
  }

  #parentOf(path: string): Directory {
    const parent = this.#directories.get(dirname(path))
    // The directory that holds everything is synced into its own parent, which is not modelled.
    return parent ?? { entries: new Map(), seen: new Map(), pending: [] }
  }

  #inode(directory: Directory, name: string): Inode {
    const inode = directory.seen.get(name)
    if (inode === undefined || inode === 'directory') throw new Error(`there is no file ${name}`)
    return inode
  }

  #change(directory: Directory, change: Change): void {
    directory.pending.push(change)
    make(directory.seen, change)
  }
}

function make(entries: Map<string, Inode | 'directory'>, change: Change): void {
  if (change.do === 'remove') {
    entries.delete(change.name)
  } else {
    if (change.do === 'move') entries.delete(change.from)
    entries.set(change.name, change.inode)
  }
}

function contentOf({ current, synced }: Inode, choice: Choice): Uint8Array {
  if (current === synced) return synced
  switch (choice.content()) {
    case 'all':
      return current
    case 'none':
      return synced
    case 'half':
      return current.subarray(0, current.byteLength >> 1)
    case 'zeros':
      return new Uint8Array(current.byteLength)
  }
}
