import type { ExecutionContext } from 'ava'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AdminContext } from '../../src/admin/context.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { makeSplitRoot, openRoot, openShares } from '../../src/keyring/roots/open.ts'
import { openAnnex, openStore } from '../../src/keyring/stores/open.ts'

/** A context whose terminal records, in a directory of its own that goes with the test. */
export interface RecordedContext extends AdminContext {
  readonly data: string[]
  readonly said: string[]
  readonly warned: string[]
  readonly path: (name: string) => string
}

/** Commands run against the real disk in a temporary directory; `answers` are typed at questions. */
export async function recordedContext(
  t: ExecutionContext,
  options: { readonly answers?: readonly string[]; readonly nowMs?: () => number } = {},
): Promise<RecordedContext> {
  const cwd = await mkdtemp(join(tmpdir(), 'latchkey-admin-'))
  t.teardown(() => rm(cwd, { recursive: true, force: true }))
  const [data, said, warned]: [string[], string[], string[]] = [[], [], []]
  const answers = [...(options.answers ?? [])]
  const adapters = {
    random: createRandomPool(),
    disk: systemDisk,
    uid: process.getuid?.() ?? 0,
    cwd,
    credentialsDirectory: undefined,
    warn: (line: string) => warned.push(line),
  }
  return {
    ...adapters,
    terminal: {
      interactive: options.answers !== undefined,
      data: (line) => data.push(line),
      say: (line) => said.push(line),
      ask: async () => answers.shift() ?? '',
    },
    now: options.nowMs ?? (() => Date.now()),
    openStore: (name, etcd = {}) => openStore(name, adapters, { etcd }),
    openAnnex: (name, etcd = {}) => openAnnex(name, adapters, { etcd }),
    openRoot: (spec, rootOptions) => openRoot(spec, adapters, rootOptions),
    splitRoot: (numbers) => makeSplitRoot(numbers, adapters),
    openShares: (names) => openShares(names, adapters),
    data,
    said,
    warned,
    path: (name) => join(cwd, name),
  }
}
