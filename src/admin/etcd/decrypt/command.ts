import { LatchkeyError, isLatchkeyError } from '../../../base/errors.ts'
import type { SecretBytes } from '../../../base/secret.ts'
import type { Keyring } from '../../../keyring/keyring.ts'
import type { EncryptionConfig } from '../../../storage/encryption-config.ts'
import { storedValueOpener, type StoredValueOpener } from '../../../storage/open.ts'
import type { RecordSource, StoredRecord } from '../../../storage/record.ts'
import { parseEtcdKey, type StoredName } from '../../../storage/resource.ts'
import { readStoredValue, type StoredValue } from '../../../storage/stored-value.ts'
import type { AdminContext } from '../../context.ts'
import { readingProgress } from '../progress.ts'
import { printable } from '../scan/present.ts'
import { keyringUnwrapper } from '../unwrapper.ts'
import { FailureList } from './failures.ts'
import { manifestName, objectDirectory, objectFiles } from './object-files.ts'
import { OutputDirectory, indexName } from './output-directory.ts'
import { parseSelection, type Selection } from './selection.ts'

/** What `latchkey etcd decrypt` gets from the process. */
export interface EtcdDecryptDeps extends Pick<AdminContext, 'terminal' | 'now' | 'disk'> {
  readonly source: RecordSource
  /** The opened backup; `undefined` when other providers alone are to be opened. */
  readonly backup: Keyring | undefined
  readonly config: EncryptionConfig | undefined
  /** Writes a secret to stdout, as it is. */
  readonly reveal: (bytes: Uint8Array) => Promise<void>
  readonly signal: AbortSignal
}

/** Flags of `latchkey etcd decrypt`. */
export interface EtcdDecryptFlags {
  /** Keys of etcd; with a slash at the end, all below. */
  readonly keys: readonly string[]
  readonly all: boolean
  /** Absolute path of the directory to write to. */
  readonly out: string | undefined
  /** Whether one object goes to stdout instead. */
  readonly reveal: boolean
  readonly prefix: string
}

/**
 * `latchkey etcd decrypt`: opens objects of a snapshot and writes them to files, or one to stdout.
 * What does not open is told and does not keep the others from being written.
 *
 * @returns whether every object that was asked for was there and opened.
 * @throws `ERR_USAGE`; what the source throws; `ERR_IO`, `ERR_DISK_FULL`.
 */
export async function etcdDecrypt(
  deps: EtcdDecryptDeps,
  flags: EtcdDecryptFlags,
): Promise<boolean> {
  const selection = parseSelection(flags.keys, flags)
  checkTarget(flags)
  const failures = new FailureList()
  using opener = storedValueOpener({
    ...(deps.backup === undefined ? {} : { kms: keyringUnwrapper(deps.backup) }),
    ...(deps.config === undefined ? {} : { local: deps.config.keys }),
  })
  const written = await (flags.out === undefined
    ? revealOne(deps, { selection, opener, failures, prefix: flags.prefix })
    : extract(deps, flags.out, { selection, opener, failures, prefix: flags.prefix }))
  const { terminal } = deps
  failures.tell(terminal)
  for (const key of selection.missing) terminal.say(`not in the snapshot: ${printable(key)}`)
  if (flags.out !== undefined) {
    terminal.say(`${flags.out}: ${written} object(s), listed in ${indexName}`)
    terminal.say('They are in plain text: remove them when you are done.')
  }
  return failures.count === 0 && selection.missing.length === 0
}

function checkTarget({ out, reveal, keys }: EtcdDecryptFlags): void {
  if ((out === undefined) !== reveal) {
    throw new LatchkeyError('ERR_USAGE', 'name either --out or --reveal', {
      hint: '--out DIR writes files that only you can read; --reveal shows one object on the terminal',
    })
  }
  if (reveal && (keys.length !== 1 || keys[0]?.endsWith('/') === true)) {
    throw new LatchkeyError('ERR_USAGE', '--reveal shows one object', {
      hint: 'name one key, or use --out for more',
    })
  }
}

interface Work {
  readonly selection: Selection
  readonly opener: StoredValueOpener
  readonly failures: FailureList
  readonly prefix: string
}

async function extract(deps: EtcdDecryptDeps, out: string, work: Work): Promise<number> {
  const output = await OutputDirectory.open(out, deps.disk)
  let count = 0
  try {
    for await (const { record, name, value } of wanted(deps, work)) {
      await attempt(record, value, work, async (stored) => {
        using files = objectFiles(stored)
        const directory = objectDirectory(name)
        const { key, modRevision } = record
        const { provider } = value
        const keyId = 'keyId' in value ? value.keyId : undefined
        await output.write(directory, files, { key, directory, provider, keyId, modRevision })
        count += 1
      })
    }
  } catch (error) {
    await output.close()
    throw error
  } finally {
    deps.terminal.progress?.('')
  }
  await output.finish()
  return count
}

async function revealOne(deps: EtcdDecryptDeps, work: Work): Promise<number> {
  let count = 0
  for await (const { record, value } of wanted(deps, work)) {
    deps.terminal.progress?.('')
    await attempt(record, value, work, async (stored) => {
      using object = objectFiles(stored)
      const { files } = object
      const text = files.find(({ path }) => path === manifestName || path === 'object.json')
      if (text === undefined) {
        throw new LatchkeyError('ERR_USAGE', 'the object is stored in a binary form', {
          hint: 'extract it with --out',
        })
      }
      await deps.reveal(text.bytes.expose())
      count += 1
    })
    break
  }
  deps.terminal.progress?.('')
  return count
}

async function* wanted(
  deps: EtcdDecryptDeps,
  { selection, prefix }: Work,
): AsyncGenerator<{ record: StoredRecord; name: StoredName; value: StoredValue }> {
  const progress = readingProgress(deps.terminal, deps.now)
  let [records, bytes] = [0, 0]
  for await (const batch of deps.source.batches(deps.signal)) {
    for (const record of batch) {
      records += 1
      bytes += record.value.byteLength
      const name = record.state === 'current' ? parseEtcdKey(record.key, prefix) : undefined
      if (name === undefined || !selection.wants(record.key)) continue
      yield { record, name, value: readStoredValue(record.value) }
    }
    progress(records, bytes)
  }
}

/** Only what the object itself is to blame for is noted; a full disk ends everything. */
async function attempt(
  record: StoredRecord,
  value: StoredValue,
  { opener, failures }: Work,
  use: (stored: SecretBytes) => Promise<void>,
): Promise<void> {
  try {
    using stored = opener.open(record.key, value)
    await use(stored)
  } catch (error) {
    if (!isLatchkeyError(error) || !failures.takes(error)) throw error
    failures.add({ key: record.key, value, error })
  }
}
