import { isLatchkeyError, LatchkeyError } from '../../../base/errors.ts'
import type { Keyring } from '../../../keyring/keyring.ts'
import type { EncryptionConfig } from '../../../storage/encryption-config.ts'
import type { Expectation } from '../../../storage/expectation.ts'
import { storedValueOpener, type StoredValueOpener } from '../../../storage/open.ts'
import type { RecordSource } from '../../../storage/record.ts'
import { resourceName, splitResourceName } from '../../../storage/resource.ts'
import {
  scan,
  type ScanOptions,
  type ScanReport,
  type UnexpectedObject,
} from '../../../storage/scan.ts'
import type { OutputFormat } from '../../output.ts'
import type { Terminal } from '../../terminal.ts'
import { readingProgress } from '../progress.ts'
import { keyringUnwrapper } from '../unwrapper.ts'
import { presentReport } from './present.ts'

/** What `latchkey etcd scan` gets from the process. */
export interface EtcdScanDeps {
  readonly terminal: Terminal
  /** Wall time, milliseconds. */
  readonly now: () => number
  /** Snapshots, or live etcds. */
  readonly sources: readonly RecordSource[]
  /** With one, each encrypted object is decrypted as proof. */
  readonly keyring: Keyring | undefined
  readonly config: EncryptionConfig | undefined
  readonly signal: AbortSignal
}

/** Flags of `latchkey etcd scan`. */
export interface EtcdScanFlags {
  /** Only these resources; none given is all. */
  readonly resource: readonly string[]
  /** The key ids under which alone anything may be encrypted. */
  readonly expectOnly: readonly string[]
  readonly noPlaintext: boolean
  /** Whether superseded revisions have to be as expected, too. */
  readonly history: boolean
  readonly prefix: string
  readonly output: OutputFormat
}

/** How many objects that are not as expected are named; all of them are counted. */
const namedObjects = 10

/**
 * `latchkey etcd scan`: says what is stored how, and whether it is as expected.
 *
 * @returns whether it is: what the flags rule out is not there, and each object decrypts that was to.
 * @throws as `scan`; `ERR_USAGE` for flags that contradict.
 */
export async function etcdScan(deps: EtcdScanDeps, flags: EtcdScanFlags): Promise<boolean> {
  const { terminal, keyring, config } = deps
  const named: UnexpectedObject[] = []
  using opener = openerOf(keyring, config)
  const resources = resourcesOf(flags.resource)
  const report = await scanWithProgress(deps, {
    prefix: flags.prefix,
    ...(resources === undefined ? {} : { resources }),
    expect: expectationOf(flags, config),
    judgeHistory: flags.history,
    ...(opener === undefined ? {} : { prove: (key, value) => prove(opener, key, value) }),
    onUnexpected: (object) => {
      if (named.length < namedObjects) named.push(object)
    },
  })
  await presentReport(terminal, { report, named, output: flags.output })
  const found = new Set(
    [report.resources, report.undecodable, report.exempt].flat().map(({ resource }) => resource),
  )
  for (const resource of resources ?? []) {
    if (!found.has(resource)) terminal.say(`warning: there is no object of ${resource}`)
  }
  if (found.size === 0) {
    // Most likely the wrong prefix or the wrong etcd, of which nothing is proved.
    terminal.say(
      `unexpected: no API server with --etcd-prefix ${flags.prefix} keeps anything there`,
    )
    return false
  }
  return report.unexpected.length === 0 && (report.proof?.failures.length ?? 0) === 0
}

async function scanWithProgress(
  { terminal, now, sources, signal }: EtcdScanDeps,
  options: Omit<ScanOptions, 'signal' | 'onProgress'>,
): Promise<ScanReport> {
  try {
    return await scan(sources, { ...options, signal, onProgress: readingProgress(terminal, now) })
  } finally {
    terminal.progress?.('')
  }
}

/** What the flags expect; plaintext breaks `--expect-only` where only encrypted resources are looked at. */
export function expectationOf(
  flags: Pick<EtcdScanFlags, 'resource' | 'expectOnly' | 'noPlaintext'>,
  config: EncryptionConfig | undefined,
): Expectation {
  return {
    ...(flags.expectOnly.length === 0 ? {} : { keyIds: new Set(flags.expectOnly) }),
    noPlaintext: flags.noPlaintext,
    ...(config === undefined ? {} : { config }),
    plaintextIsNoKey: flags.resource.length > 0,
  }
}

/** The resources as they are reported: with their group, also where a built-in one came without. */
export function resourcesOf(names: readonly string[]): ReadonlySet<string> | undefined {
  if (names.length === 0) return undefined
  return new Set(
    names.map((name) => {
      if (!/^[a-z0-9-]+(?:\.[a-z0-9.-]+)?$/.test(name)) {
        throw new LatchkeyError('ERR_USAGE', '--resource is not the name of a resource', {
          hint: 'write it as an EncryptionConfiguration does: secrets, deployments.apps, widgets.example.com',
        })
      }
      const { group, plural } = splitResourceName(name)
      return resourceName(group, plural)
    }),
  )
}

function openerOf(
  keyring: Keyring | undefined,
  config: EncryptionConfig | undefined,
): StoredValueOpener | undefined {
  if (keyring === undefined) return undefined
  return storedValueOpener({
    kms: keyringUnwrapper(keyring),
    ...(config === undefined ? {} : { local: config.keys }),
  })
}

function prove(
  opener: StoredValueOpener,
  ...[key, value]: Parameters<NonNullable<ScanOptions['prove']>>
): ReturnType<NonNullable<ScanOptions['prove']>> {
  try {
    opener.open(key, value)[Symbol.dispose]()
    return undefined
  } catch (error) {
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}
