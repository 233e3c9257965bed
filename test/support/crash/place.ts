import * as fs from 'node:fs/promises'
import type { AdminContext } from '../../../src/admin/context.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import type { Disk } from '../../../src/clients/disk.ts'
import { makeSplitRoot, openRoot, openShares } from '../../../src/keyring/roots/open.ts'
import { openAnnex, openStore } from '../../../src/keyring/stores/open.ts'
import { cheapPassphraseRoot } from '../keyrings.ts'

/** A context for the keys commands in directory `cwd`, on `disk`; passphrases cost next to nothing. */
export function contextIn(cwd: string, disk: Disk): AdminContext & { readonly data: string[] } {
  const data: string[] = []
  const adapters = {
    random: createRandomPool(),
    disk,
    uid: process.getuid?.() ?? 0,
    cwd,
    credentialsDirectory: undefined,
    warn: () => undefined,
  }
  return {
    ...adapters,
    data,
    now: () => Date.now(),
    terminal: {
      interactive: false,
      data: (line) => data.push(line),
      say: () => undefined,
      ask: () => Promise.reject(new Error('nobody is there')),
    },
    openStore: (name, etcd = {}) => openStore(name, adapters, { etcd }),
    openAnnex: (name, etcd = {}) => openAnnex(name, adapters, { etcd }),
    openRoot: async (spec, options) =>
      spec.startsWith('passphrase:')
        ? cheapPassphraseRoot(await fs.readFile(`${cwd}/${spec.slice(11)}`, 'utf8'))
        : openRoot(spec, adapters, options),
    splitRoot: (numbers) => makeSplitRoot(numbers, adapters),
    openShares: (names) => openShares(names, adapters),
  }
}
