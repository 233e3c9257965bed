import { readFileSync } from 'node:fs'

const files = ['cmdline', 'environ', 'comm', 'status', 'maps', 'mountinfo'] as const

/**
 * Collects what `/proc` shows of a process to others, again and again until it is gone: arguments,
 * environment, name, status and mapped files. (Its memory it shows to its own user alone.)
 */
export function watchProcess(pid: number): { seen(): string; stop(): void } {
  const seen = new Set<string>()
  const look = (): void => {
    for (const file of files) {
      try {
        seen.add(readFileSync(`/proc/${pid}/${file}`, 'latin1'))
      } catch {
        // It has ended, or this kernel does not have the file.
      }
    }
  }
  look()
  const timer = setInterval(look, 10)
  return {
    seen: () => [...seen].join('\n'),
    stop: () => {
      look()
      clearInterval(timer)
    },
  }
}
