import { constants, type Stats } from 'node:fs'
import * as fs from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../base/errors.ts'
import { hashLine, maxLineBytes, parseLine, type AuditHead } from './audit-record.ts'

/** A file open for appending: as much of one as the audit log needs, so that tests can break it. */
export interface AuditFile {
  /** What the file ended with when it was opened. */
  readonly end: AuditEnd
  /**
   * Appends all of `bytes`, or takes back what it could not finish and throws. When not even that
   * succeeds, the file is {@link AuditFile.damaged} and takes no more: it has to be opened again.
   */
  append(bytes: Uint8Array): Promise<void>
  readonly damaged: boolean
  /** Its length, in bytes. */
  readonly size: number
  sync(): Promise<void>
  /** Whether the path still names this file. */
  current(): Promise<boolean>
  close(): Promise<void>
}

/** The end of an audit file. */
export interface AuditEnd {
  /**
   * Its last whole line, or, of an empty file, that of the one it was rotated to (`FILE.1`); `null`
   * when there is none that is of an audit file.
   */
  readonly last: AuditHead | null
  /** Whether it ends within a line. */
  readonly torn: boolean
}

/**
 * Opens an audit file for appending, and makes it, mode 0600, when there is none.
 *
 * @throws `ERR_AUDIT_UNAVAILABLE` when it cannot be opened, is no regular file, or others may write it.
 */
export async function openAuditFile(path: string): Promise<AuditFile> {
  const { O_APPEND, O_CREAT, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants
  const flags = O_APPEND | O_CREAT | O_RDWR | O_NOFOLLOW | O_NONBLOCK
  const handle = await fs.open(path, flags, 0o600).catch((error: unknown) => {
    throw unavailable(path, systemCode(error) ?? 'unknown error', error)
  })
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw unavailable(path, 'not a regular file')
    if ((stat.mode & 0o022) !== 0) throw unavailable(path, 'others than its owner may write it')
    const own = await readEnd(handle, stat.size)
    // Killed right after a rotation, a chain has its end there, which nobody may cut off unseen.
    const end = stat.size === 0 ? { ...own, last: await lastOf(`${path}.1`) } : own
    return appendable(path, { handle, stat, end })
  } catch (error) {
    await handle.close()
    throw error
  }
}

function appendable(
  path: string,
  opened: { readonly handle: fs.FileHandle; readonly stat: Stats; readonly end: AuditEnd },
): AuditFile {
  const { handle, stat, end } = opened
  let size = stat.size
  let torn = end.torn
  let damaged = false
  return {
    end,
    get damaged() {
      return damaged
    },
    get size() {
      return size
    },
    append: async (bytes) => {
      if (damaged) throw unavailable(path, 'it has to be opened again')
      // After a line that has no end, whoever left it there, ours begins on a new one.
      const all = torn ? Buffer.concat([Buffer.of(10), bytes]) : bytes
      try {
        for (let written = 0; written < all.byteLength;) {
          written += (await handle.write(all, written)).bytesWritten
        }
      } catch (error) {
        await handle.truncate(size).catch(() => {
          damaged = true
        })
        throw unavailable(path, systemCode(error) ?? 'unknown error', error)
      }
      size += all.byteLength
      torn = false
    },
    sync: () => handle.datasync(),
    current: async () => {
      const now = await fs.stat(path).catch(() => undefined)
      return now?.ino === stat.ino && now.dev === stat.dev
    },
    close: () => handle.close(),
  }
}

async function lastOf(path: string): Promise<AuditHead | null> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await fs.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
  if (handle === undefined) return null
  try {
    const stat = await handle.stat()
    return stat.isFile() ? (await readEnd(handle, stat.size)).last : null
  } finally {
    await handle.close()
  }
}

async function readEnd(handle: fs.FileHandle, size: number): Promise<AuditEnd> {
  const window = Math.min(size, 2 * maxLineBytes)
  const bytes = Buffer.alloc(window)
  const { bytesRead } = await handle.read(bytes, 0, window, size - window)
  const text = bytes.subarray(0, bytesRead)
  const lines = splitLines(text)
  const torn = text.byteLength > 0 && text.at(-1) !== 10
  // A whole line that lacks but its line feed gets it from whoever writes next, and is one then.
  const rest = torn ? lines.at(-1) : undefined
  if (rest !== undefined && parseLine(rest) === undefined) lines.pop()
  for (const line of lines.reverse()) {
    const parsed = parseLine(line)
    if (parsed === undefined) continue
    const { chain, seq } = parsed.line
    return { last: { chain, seq, hash: hashLine(line) }, torn }
  }
  return { last: null, torn }
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0; start < bytes.byteLength;) {
    const end = bytes.indexOf(10, start)
    lines.push(bytes.subarray(start, end < 0 ? undefined : end))
    start = end < 0 ? bytes.byteLength : end + 1
  }
  return lines
}

function unavailable(path: string, reason: string, cause?: unknown): LatchkeyError {
  return new LatchkeyError(
    'ERR_AUDIT_UNAVAILABLE',
    `the audit file ${path} cannot be written: ${reason}`,
    { hint: 'free some space or mend the path; nothing new is delivered until then', cause },
  )
}
