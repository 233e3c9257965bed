import { isLatchkeyError, LatchkeyError, type ErrorCode } from '../../base/errors.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import { storedValueOpener } from '../../storage/open.ts'
import type { RecordSource } from '../../storage/record.ts'
import { needUnknownKey, scan, type ScanReport } from '../../storage/scan.ts'
import type { StoredValue } from '../../storage/stored-value.ts'
import { readingProgress } from '../etcd/progress.ts'
import { keyringUnwrapper } from '../etcd/unwrapper.ts'
import { print, type OutputFormat } from '../output.ts'
import type { AdminContext } from '../context.ts'

/** One key that a snapshot needs. Field names are an interface. */
export interface NeededKey {
  /** `unknown` where the objects do not say it: those of another plugin under KMS v1. */
  readonly keyId: string
  /** Current objects under it. */
  readonly objects: number
  /** Superseded revisions under it, which no API server reads after a restore. */
  readonly history: number
  /** `held`: the backup opens what is under it; `destroyed`: it has a tombstone alone; `missing`: neither. */
  readonly backup: 'held' | 'destroyed' | 'missing'
}

/** What `keys backup --check` found. */
export interface BackupCheck {
  readonly keys: readonly NeededKey[]
  /** Current objects whose key is there and that do not open all the same. */
  readonly damaged: number
  /** Current objects that a KMS provider encrypted and that are damaged: nobody can say which key they need. */
  readonly undecodable: number
  /** Encrypted values outside the prefix, which were not tried. */
  readonly elsewhere: number
  /** Current objects of providers whose keys are in the EncryptionConfiguration. */
  readonly otherProviders: number
}

/**
 * Whether `backup` opens what a KMS provider encrypted in `source`: looks at every object, and opens
 * each whose key is there.
 *
 * @throws as `scan`.
 */
export async function checkBackup(
  context: Pick<AdminContext, 'terminal' | 'now'>,
  what: {
    readonly backup: Keyring
    readonly source: RecordSource
    readonly prefix: string
    readonly signal: AbortSignal
  },
): Promise<BackupCheck> {
  const { backup, source, prefix, signal } = what
  using opener = storedValueOpener({ kms: keyringUnwrapper(backup) })
  const onProgress = readingProgress(context.terminal, context.now)
  const prove = (key: string, value: StoredValue): ErrorCode | undefined => {
    if (value.kind !== 'kms-v1' && value.kind !== 'kms-v2') return undefined
    try {
      opener.open(key, value)[Symbol.dispose]()
      return undefined
    } catch (error) {
      if (isLatchkeyError(error)) return error.code
      throw error
    }
  }
  try {
    return summarise(backup, await scan([source], { prefix, prove, onProgress, signal }))
  } finally {
    context.terminal.progress?.('')
  }
}

function summarise(backup: Keyring, report: ScanReport): BackupCheck {
  const counts = new Map<string, { objects: number; history: number }>()
  let otherProviders = 0
  for (const field of ['objects', 'history'] as const) {
    for (const row of (field === 'objects' ? report.resources : report.history) ?? []) {
      if (!row.provider.startsWith('kms:')) {
        if (field === 'objects' && row.provider !== 'identity') otherProviders += row.objects
        continue
      }
      const id = row.keyId ?? 'unknown'
      const count = counts.get(id) ?? { objects: 0, history: 0 }
      count[field] += row.objects
      counts.set(id, count)
    }
  }
  const keys = [...counts].map(([keyId, count]) => ({
    keyId,
    ...count,
    backup: stateIn(backup, keyId),
  }))
  const held = new Set(keys.filter((key) => key.backup === 'held').map(({ keyId }) => keyId))
  const damaged = (report.proof?.failures ?? [])
    .filter(({ keyId }) => keyId !== undefined && held.has(keyId))
    .reduce((sum, { objects }) => sum + objects, 0)
  const sum = (rows: readonly { readonly objects: number }[]): number =>
    rows.reduce((total, { objects }) => total + objects, 0)
  return {
    keys,
    damaged,
    undecodable: sum(report.undecodable.filter(needUnknownKey)),
    elsewhere: sum(report.elsewhere.filter(({ state }) => state === 'current')),
    otherProviders,
  }
}

function stateIn(backup: Keyring, keyId: string): NeededKey['backup'] {
  const known = backup.find(keyId)
  if (known === undefined) return 'missing'
  return known.state === 'destroyed' ? 'destroyed' : 'held'
}

/**
 * Prints what was found.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when a current object could not be read with the backup, or when there
 * is none to try.
 */
export async function presentBackupCheck(
  { terminal }: Pick<AdminContext, 'terminal'>,
  check: BackupCheck,
  output: OutputFormat,
): Promise<void> {
  const { keys, damaged, undecodable, elsewhere, otherProviders } = check
  await print(terminal, {
    format: output,
    value: check,
    table: () => [
      ['KEY', 'OBJECTS', 'HISTORY', 'BACKUP'],
      ...keys.map((key) => [key.keyId, String(key.objects), String(key.history), key.backup]),
    ],
  })
  if (otherProviders > 0) {
    terminal.say(
      `${otherProviders} object(s) are under other providers: keep the EncryptionConfiguration that has their keys as well`,
    )
  }
  if (elsewhere > 0) {
    terminal.say(
      `warning: ${elsewhere} encrypted value(s) are outside the prefix and were not tried: another --prefix has them`,
    )
  }
  const lacking = keys.filter((key) => key.backup !== 'held')
  const lost = lacking.filter(({ objects }) => objects > 0)
  for (const { keyId, objects, history } of lacking) {
    terminal.say(`lacking: ${keyId}, needed by ${objects} object(s) and ${history} old revision(s)`)
  }
  if (lost.length > 0) {
    const objects = lost.reduce((sum, key) => sum + key.objects, 0)
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `the backup lacks ${lost.length} key(s) that ${objects} object(s) of the snapshot need`,
      {
        hint: 'keep this snapshot with a backup made after the key was: "latchkey keys backup", now',
      },
    )
  }
  if (damaged > 0) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `${damaged} object(s) of the snapshot do not open, although the backup has their key`,
      {
        hint: 'see which with "latchkey etcd decrypt --all": they were altered, moved, or belong to another cluster',
      },
    )
  }
  if (undecodable > 0) {
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      `${undecodable} object(s) of the snapshot are damaged: no backup opens them`,
      { hint: 'see which with "latchkey etcd decrypt --all"; older snapshots may have them whole' },
    )
  }
  if (keys.length === 0) {
    // Most likely the wrong prefix, or the snapshot of another etcd.
    throw new LatchkeyError(
      'ERR_WOULD_LOSE_DATA',
      'no object under the prefix was encrypted by a KMS provider: that the backup opens them all proves nothing',
      { hint: "name the API servers' --etcd-prefix with --prefix, and a snapshot of their etcd" },
    )
  }
  terminal.say('The backup opens every object of the snapshot that a KMS provider encrypted.')
}
