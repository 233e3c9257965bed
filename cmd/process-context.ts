import { createInterface } from 'node:readline/promises'
import type { AdminContext } from '../src/admin/context.ts'
import type { Terminal } from '../src/admin/terminal.ts'
import { createRandomPool } from '../src/base/random.ts'
import { systemDisk } from '../src/clients/disk.ts'
import { openRoot } from '../src/keyring/roots/open.ts'
import { openStore } from '../src/keyring/stores/open.ts'

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
    openStore: (name) => openStore(name, adapters),
    openRoot: (spec, options) => openRoot(spec, adapters, options),
  }
}

function processTerminal(): Terminal {
  return {
    interactive: process.stdin.isTTY && process.stderr.isTTY,
    data: (line) => process.stdout.write(`${line}\n`),
    say: (line) => process.stderr.write(`${line}\n`),
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
