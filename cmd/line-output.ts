import { write } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../src/base/errors.ts'

/** Where lines go. */
export interface LineOutput {
  readonly write: (line: string) => void
  /** Resolves when all is written, or after a second with a reader who is stuck. */
  readonly close: () => Promise<void>
}

/** Beyond this a reader who is stuck loses lines, and does not stop the program. */
const maxHeldBytes = 1 << 20
/** How soon a full pipe is tried again, in milliseconds. */
const againMs = 50
const closeWithinMs = 1_000

/** Writes lines to a descriptor, one system call at a time, in the thread pool. */
export function openLineOutput(descriptor: number): LineOutput {
  let held: Buffer[] = []
  let heldBytes = 0
  let writing: Promise<void> | undefined

  const drain = async (): Promise<void> => {
    while (held.length > 0) {
      const batch = Buffer.concat(held)
      held = []
      await writeAll(descriptor, batch)
      heldBytes -= batch.byteLength
    }
    writing = undefined
  }
  return {
    write: (line) => {
      const bytes = Buffer.from(line)
      if (heldBytes + bytes.byteLength > maxHeldBytes) return
      held.push(bytes)
      heldBytes += bytes.byteLength
      writing ??= drain()
    },
    close: async () => {
      if (writing === undefined) return
      const stop = new AbortController()
      const late = sleep(closeWithinMs, undefined, { signal: stop.signal, ref: true })
      await Promise.race([writing, late.catch(() => undefined)])
      stop.abort()
    },
  }
}

/** Writes it all; what a reader who is gone would have got is let go. */
async function writeAll(descriptor: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { count, error } = await new Promise<{ count: number; error: unknown }>((resolve) => {
      write(descriptor, bytes, at, bytes.byteLength - at, null, (failure, written) => {
        resolve({ count: written, error: failure })
      })
    })
    if (error === null || error === undefined) at += count
    else if (systemCode(error) === 'EAGAIN') await sleep(againMs)
    else return
  }
}
