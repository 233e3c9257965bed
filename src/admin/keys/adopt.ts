import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { adoptKeyring } from '../../keyring/adopt.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { loadRevision, markOfDocument } from '../../keyring/load.ts'
import { confirm } from '../confirm.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { openBackup } from './open-backup.ts'
import { follows, publish } from './current.ts'

/** Flags of `latchkey keys adopt`. */
export interface AdoptFlags extends KeyringFlags {
  /** A keyring directory, such as a node's own copy, a keyring in etcd, or a backup file. */
  readonly from: string
  readonly fromRoot: readonly string[]
  readonly passphraseFile: string | undefined
  readonly share?: readonly string[]
  readonly yes: boolean
}

/**
 * `latchkey keys adopt`: merges another copy, another keyring or a backup into this one, so that
 * every key of both decrypts. Also mends a keyring that was refused as rolled back: the result goes
 * above the generation that this node has used.
 *
 * @throws `ERR_USAGE` also for what would open a backup when `from` is a keyring, or the other way
 * round; what stores, roots and keyrings throw.
 */
export async function keysAdopt(context: AdminContext, flags: AdoptFlags): Promise<void> {
  const store = await context.openStore(flags.keyring, flags)
  const mark = await store.highWater()
  const roots = await Promise.all(flags.root.map((spec) => context.openRoot(spec)))
  const { keyring: local, revision } = await loadRevision(store, {
    roots,
    mark: undefined,
    used: mark,
  })
  using _local = local
  using other = await openOther(context, flags)
  const { document, gained } = adoptKeyring(local, other, {
    ...context,
    minGeneration: (mark?.generation ?? 0) + 1,
  })
  const explanation = [
    `Merging into ${store.location} (generation ${local.generation}): generation ${document.generation}, active key stays ${local.active.id}.`,
    gained.length === 0
      ? 'No key is gained: every key of the other is here already.'
      : `Gained, to decrypt with: ${gained.map(({ id }) => id).join(', ')}`,
    ...(mark === undefined || follows(markOfDocument(document.bytes), mark)
      ? []
      : [
          `Missing: this node has used generation ${mark.generation} of keyring ${mark.keyringId}, and neither side descends from it. Keys that only it has are given up here: what is encrypted under them cannot be read until a copy of it is adopted.`,
        ]),
    'Use the result on every control plane, and restart a plugin that has refused one of the copies.',
  ]
  await confirm(context.terminal, { explanation, yes: flags.yes })
  await publish(context, document, { store, replaces: revision })
  for (const { id } of gained) context.terminal.data(id)
}

async function openOther(context: AdminContext, flags: AdoptFlags): Promise<Keyring> {
  const inEtcd = flags.from.startsWith('etcd:')
  const stat = inEtcd
    ? undefined
    : await fs.stat(resolve(context.cwd, flags.from)).catch(() => undefined)
  if (inEtcd || stat?.isDirectory() === true) {
    if (flags.passphraseFile !== undefined || (flags.share ?? []).length > 0) {
      throw new LatchkeyError('ERR_USAGE', '--passphrase-file and --share open a backup', {
        hint: '--from names a keyring: name what opens it with --from-root, or its backup with --from',
      })
    }
    const { localCopy: _ours, ...etcd } = flags
    const store = await context.openStore(flags.from, etcd)
    try {
      const specs = flags.fromRoot.length > 0 ? flags.fromRoot : flags.root
      const roots = await Promise.all(specs.map((spec) => context.openRoot(spec)))
      return (await loadRevision(store, { roots, mark: undefined })).keyring
    } finally {
      store.close?.()
    }
  }
  if (stat === undefined) {
    throw new LatchkeyError('ERR_USAGE', `there is nothing at ${flags.from}`, {
      hint: '--from takes a keyring directory, a backup file, or etcd:https://HOST:PORT/PREFIX',
    })
  }
  if (flags.fromRoot.length > 0) {
    throw new LatchkeyError('ERR_USAGE', '--from-root opens a keyring, and --from is a backup', {
      hint: 'name what opens the backup with --passphrase-file or --share',
    })
  }
  return openBackup(context, flags)
}
