import { isLatchkeyError } from '../../src/base/errors.ts'
import type { RandomBytes } from '../../src/base/random.ts'
import type { Disk } from '../../src/clients/disk.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import { openRoot } from '../../src/keyring/roots/open.ts'
import type { KmsLog } from '../../src/kms/events.ts'
import { readOnce } from '../read-once.ts'

/**
 * How the plugin opens its roots, each time that it opens a keyring. A root that cannot be opened is
 * logged and left out as long as another can.
 *
 * @throws `ERR_USAGE` for a spec that is none. The function that is returned throws what the first
 * root threw when none could be opened.
 */
export async function rootOpener(
  specs: readonly string[],
  deps: {
    readonly disk: Disk
    readonly random: RandomBytes
    readonly uid: number
    readonly cwd: string
    readonly environment: Readonly<Record<string, string | undefined>>
    readonly log: KmsLog
  },
): Promise<() => Promise<readonly RootKey[]>> {
  const rootDeps = {
    ...deps,
    credentialsDirectory: deps.environment['CREDENTIALS_DIRECTORY'],
    warn: (warning: string) => {
      deps.log.warn('kms.root_unwise', { warning })
    },
  }
  const open = readOnce((spec) => openRoot(spec, rootDeps))
  const openAll = async (): Promise<readonly RootKey[]> => {
    const opened = await Promise.allSettled(specs.map((spec) => open(spec)))
    const roots = opened.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
    const errors = opened.flatMap((it, n) =>
      it.status === 'rejected' ? [{ root: n + 1, error: it.reason as unknown }] : [],
    )
    const usage = errors.find(({ error }) => isLatchkeyError(error, 'ERR_USAGE'))
    if (usage !== undefined) throw usage.error
    if (roots.length === 0) throw errors[0]?.error
    for (const { root, error } of errors) deps.log.warn('kms.root_unavailable', { root }, error)
    return roots
  }
  await openAll().catch((error: unknown) => {
    if (isLatchkeyError(error, 'ERR_USAGE')) throw error
  })
  return openAll
}
