import { readFileSync } from 'node:fs'

/** What the kernel says of a process. */
export interface Usage {
  /** User and system CPU time so far, in milliseconds (the kernel counts in steps of 10). */
  readonly cpuMs: number
  /** Resident set, in MB of 1,000,000 bytes. */
  readonly rssMb: number
  /** Private anonymous part of it, in MB. */
  readonly anonMb: number
}

const ticksPerSecond = 100

/** Reads `/proc` for process `pid`. */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
  return {
    cpuMs: (ticks * 1000) / ticksPerSecond,
    rssMb: (kib('VmRSS') * 1024) / 1e6,
    anonMb: (kib('RssAnon') * 1024) / 1e6,
  }
}
