import { resolve } from 'node:path'
import type { RecordSource } from '../../src/storage/record.ts'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { EtcdFlags } from '../../src/clients/etcd/flags.ts'

/** Where a command reads: snapshot files, or running etcds. */
export interface SourceFlags extends EtcdFlags {
  readonly snapshot: readonly string[]
}

/** Opened sources; to be disposed of. */
export interface OpenSources extends Disposable {
  readonly sources: readonly RecordSource[]
}

/**
 * Opens what `--snapshot` or `--etcd` name. With `resources`, a running etcd is asked for those alone.
 *
 * @throws `ERR_USAGE` unless exactly one of the two is there; what the etcd client throws.
 */
export async function openSources(
  flags: SourceFlags,
  options: { readonly resources?: ReadonlySet<string>; readonly prefix: string },
): Promise<OpenSources> {
  if (flags.snapshot.length > 0 === flags.etcd.length > 0) {
    throw new LatchkeyError('ERR_USAGE', 'name either snapshots or an etcd', {
      hint: 'use --snapshot FILE, or --etcd https://HOST:2379 with --etcd-ca, --etcd-cert and --etcd-key',
    })
  }
  const cwd = process.cwd()
  if (flags.snapshot.length > 0) {
    const { snapshotSource } = await import('../../src/admin/etcd/snapshot-source.ts')
    const sources = flags.snapshot.map((file) => snapshotSource(resolve(cwd, file)))
    return { sources, [Symbol.dispose]: () => undefined }
  }
  const { parseEtcdFlags } = await import('../../src/clients/etcd/flags.ts')
  const { openEtcdClusters } = await import('../../src/clients/etcd/open.ts')
  const { liveSource } = await import('../../src/admin/etcd/live-source.ts')
  const clients = await openEtcdClusters(parseEtcdFlags(flags, cwd), {
    clock: systemClock,
    random: createRandomPool(),
  })
  return {
    sources: clients.map((client) => liveSource(client, options)),
    [Symbol.dispose]: () => {
      for (const client of clients) client.close()
    },
  }
}
