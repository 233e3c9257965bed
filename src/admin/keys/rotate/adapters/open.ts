import { LatchkeyError } from '../../../../base/errors.ts'
import type { AdminContext } from '../../../context.ts'
import type { Annex } from '../../../../keyring/annex.ts'
import { loadRevision } from '../../../../keyring/load.ts'
import type { KeyringStore } from '../../../../keyring/store.ts'
import { publish } from '../../current.ts'
import { Proofs } from '../../proofs.ts'
import type { RotateDeps, RotateFlags } from '../command.ts'
import type { RotationEvent } from '../events.ts'
import { Journal } from '../journal.ts'
import type { RotationPorts } from '../ports.ts'
import { canaries } from './canaries.ts'
import type { Connections } from './connections.ts'
import { acknowledgedMembership, socketMembership } from './membership.ts'
import { staleMigrator } from './migrator.ts'
import { serverDirectory } from './server-directory.ts'
import { scannedStorage } from './storage-view.ts'

/** The ports of a rotation of the keyring and the cluster that the flags name. */
export async function openRotationPorts(
  context: AdminContext,
  deps: RotateDeps & {
    readonly store: KeyringStore
    readonly annex: Annex
    readonly connections: Connections
    readonly tell: (event: RotationEvent) => void
  },
  flags: RotateFlags,
): Promise<RotationPorts> {
  const { connections, etcd, clock, jitter } = deps
  const { random } = context
  const { prefix } = flags
  const { store, annex } = deps
  const roots = await Promise.all(flags.root.map((spec) => context.openRoot(spec)))
  const membership = (): RotationPorts['membership'] => {
    if (store.members !== undefined) return acknowledgedMembership(store.members)
    if (flags.socket === undefined) throw noSocket()
    return socketMembership(flags.socket, random)
  }
  return {
    keyring: {
      open: async () => {
        const mark = await store.highWater()
        const { keyring, revision } = await loadRevision(store, { roots, mark })
        return {
          store,
          keyring,
          revision,
          [Symbol.dispose]: () => {
            keyring[Symbol.dispose]()
          },
        }
      },
      commit: async (current, { document }, members) => {
        await publish(context, document, {
          store,
          replaces: current.revision,
          ...(members === undefined ? {} : { members }),
        })
      },
    },
    membership: membership(),
    servers: serverDirectory(connections, {
      entrance: deps.access.server.href,
      named: flags.server,
      clock,
    }),
    canaries: canaries(connections, { etcd, prefix, namespace: flags.canaryNamespace, random }),
    storage: scannedStorage(etcd, prefix),
    migrator: staleMigrator(connections, { etcd, prefix, clock, jitter, rate: flags.rate }),
    journal: new Journal(annex, context.now),
    proofs: new Proofs(annex, context.now),
    clock,
    jitter,
    tell: deps.tell,
  }
}

/** The refusal of a rotation of one node's keyring whose plugin nobody can ask. */
function noSocket(): LatchkeyError {
  return new LatchkeyError('ERR_USAGE', '--listen is missing', {
    hint: "name the plugin's socket, as in --listen unix:///run/latchkey/kms.sock: it is asked to decrypt with the new key before the API server uses it",
  })
}
