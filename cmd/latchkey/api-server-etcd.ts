import { systemClock } from '../../src/base/clock.ts'
import type { RandomBytes } from '../../src/base/random.ts'
import type { EtcdClient } from '../../src/clients/etcd/client.ts'
import type { EtcdFlags } from '../../src/clients/etcd/flags.ts'

/**
 * Runs `body` with clients of the etcd that `--etcd` names, one for each cluster; none when it names
 * none.
 *
 * @throws what the etcd client throws.
 */
export async function withEtcdClients<Result>(
  flags: EtcdFlags,
  context: { readonly cwd: string; readonly random: RandomBytes },
  body: (etcd: readonly EtcdClient[]) => Promise<Result>,
): Promise<Result> {
  if (flags.etcd.length === 0) return await body([])
  const { openEtcdClusters } = await import('../../src/clients/etcd/open.ts')
  const { parseEtcdFlags } = await import('../../src/clients/etcd/flags.ts')
  const etcd = await openEtcdClusters(parseEtcdFlags(flags, context.cwd), {
    clock: systemClock,
    random: context.random,
  })
  try {
    return await body(etcd)
  } finally {
    for (const client of etcd) client.close()
  }
}
