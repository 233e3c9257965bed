import type { Command } from 'commander'
import type { DestroyFlags } from '../../src/admin/keys/destroy.ts'
import type { RetireFlags } from '../../src/admin/keys/retire.ts'
import type { ProvingEtcd } from '../../src/admin/keys/unneeded.ts'
import type { EtcdFlags } from '../../src/clients/etcd/flags.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { withEtcdClients } from './api-server-etcd.ts'
import { refuseIdle } from './idle-options.ts'
import { settle, withEtcd, withKeyring } from './options.ts'

const keyringAndRoot = ['keyring', 'root'] as const

interface ProvingFlags extends EtcdFlags {
  readonly prefix: string
}

/** Adds `latchkey keys retire` and `latchkey keys destroy`. */
export function addKeysRemovals(keys: Command): void {
  withKeyring(withEtcd(keys.command('retire')))
    .description('declare a superseded key unneeded; it still decrypts, and each use is reported')
    .argument('<id>', 'the key id')
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .option(
      '--unproven',
      'retire on your own word that nothing in etcd needs the key; not with --etcd',
      false,
    )
    .option('--yes', 'do not ask', false)
    .action(async (id: string, _options, command: Command) => {
      const { keysRetire } = await import('../../src/admin/keys/retire.ts')
      const flags = await settle<RetireFlags & ProvingFlags>(command, keyringAndRoot)
      refuseProof(command, flags)
      await proving(flags, (etcd) => keysRetire(processContext(), etcd, { ...flags, id }))
    })
  withKeyring(withEtcd(keys.command('destroy')))
    .description("remove a retired key's material, or give up a staged key")
    .argument('<id>', 'the key id')
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .option('--compact', 'make etcd forget its history now, instead of waiting for it', false)
    .option(
      '--unproven',
      'destroy on your own word that nothing needs the key; not with --etcd',
      false,
    )
    .option('--yes', 'do not ask', false)
    .action(async (id: string, _options, command: Command) => {
      const { keysDestroy } = await import('../../src/admin/keys/destroy.ts')
      const flags = await settle<DestroyFlags & ProvingFlags>(command, keyringAndRoot)
      refuseProof(command, flags)
      await proving(flags, (etcd) => keysDestroy(processContext(), etcd, { ...flags, id }))
    })
}

/** On the administrator's own word etcd is not looked at: whoever names it believes that it was. */
function refuseProof(command: Command, { unproven }: { readonly unproven: boolean }): void {
  if (!unproven) return
  refuseIdle(command, ['etcd', 'prefix', 'compact'], {
    because: 'does nothing with --unproven, by which nobody looks into etcd',
    hint: 'leave out --unproven to have it proved in etcd, or leave this out to go by your own word',
  })
}

async function proving(
  flags: ProvingFlags,
  run: (etcd: ProvingEtcd | undefined) => Promise<void>,
): Promise<void> {
  const { prefix } = flags
  await interruptible('nothing was changed: repeat the command', (signal) =>
    withEtcdClients(flags, processContext(), async (etcd) => {
      await run(etcd.length === 0 ? undefined : { etcd, prefix, signal })
    }),
  )
}
