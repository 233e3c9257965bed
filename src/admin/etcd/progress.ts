import type { Terminal } from '../terminal.ts'

/** Milliseconds between two showings. */
const everyMs = 200

/** Shows, where somebody watches, how much was read: `reading  12,345 records  48 MiB`. */
export function readingProgress(
  terminal: Terminal,
  nowMs: () => number,
): (records: number, bytes: number) => void {
  const { progress } = terminal
  if (progress === undefined) return () => undefined
  let shownMs = -Infinity
  return (records, bytes) => {
    const now = nowMs()
    if (now - shownMs < everyMs) return
    shownMs = now
    progress(`reading  ${records.toLocaleString('en')} records  ${mebibytes(bytes)}`)
  }
}

/** `48 MiB`, `0.3 MiB`. */
export function mebibytes(bytes: number): string {
  const amount = bytes / 1024 / 1024
  return `${amount < 10 ? amount.toFixed(1) : Math.round(amount)} MiB`
}
