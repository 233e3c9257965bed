import { createInterface } from 'node:readline/promises'
import type { AdminContext } from '../src/admin/context.ts'
import type { Terminal } from '../src/admin/terminal.ts'
import { createRandomPool } from '../src/base/random.ts'
import { systemDisk } from '../src/clients/disk.ts'
import { makeSplitRoot, openRoot, openShares } from '../src/keyring/roots/open.ts'
import { openAnnex, openStore } from '../src/keyring/stores/open.ts'
import { readOnce } from './read-once.ts'

/** The user this process runs as; on systems without users, 0. */
export const processUid = process.getuid?.() ?? 0

/** What a command gets from this process. */
export function processContext(): AdminContext {
  const random = createRandomPool()
  const adapters = {
    random,
    disk: systemDisk,
    uid: processUid,
    cwd: process.cwd(),
    credentialsDirectory: process.env['CREDENTIALS_DIRECTORY'],
    warn: (line: string) => process.stderr.write(`warning: ${line}\n`),
  }
  return {
    ...adapters,
    terminal: processTerminal(),
    now: () => Date.now(),
    openStore: (name, etcd = {}) => openStore(name, adapters, { etcd }),
    openAnnex: (name, etcd = {}) => openAnnex(name, adapters, { etcd }),
    openRoot: readOnce((spec, options) => openRoot(spec, adapters, options)),
    splitRoot: (numbers) => makeSplitRoot(numbers, adapters),
    openShares: (names) => openShares(names, adapters),
  }
}

function processTerminal(): Terminal {
  let shown = false
  const progress = (line: string): void => {
    // Clears what was there, and never wraps: a wrapped line could not be replaced.
    const fits = line.slice(0, Math.max(20, process.stderr.columns - 1))
    process.stderr.write(`\r\u001b[K${fits}`)
    shown = line !== ''
  }
  const clear = (): void => {
    if (shown) progress('')
  }
  return {
    interactive: process.stdin.isTTY && process.stderr.isTTY,
    data: (line) => {
      clear()
      process.stdout.write(`${line}\n`)
    },
    say: (line) => {
      clear()
      process.stderr.write(`${line}\n`)
    },
    ...(process.stderr.isTTY ? { progress } : {}),
    ask: async (question) => {
      const reader = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return await reader.question(question)
      } finally {
        reader.close()
      }
    },
  }
}
