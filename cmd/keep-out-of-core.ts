import { writeFileSync } from 'node:fs'

/**
 * Keeps this process's memory, keys included, out of core files: with an empty filter the kernel
 * dumps no mapping (core(5), "Controlling which mappings are written to the core dump"). Needs no
 * privilege, and children inherit it. Where there is no such file there is nothing to do.
 */
export function keepOutOfCore(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Not Linux, or /proc is not mounted: the unit's LimitCORE=0 is what remains.
  }
}
