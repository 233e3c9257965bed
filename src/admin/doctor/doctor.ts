import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { RootKey } from '../../keyring/root.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import type { AdminContext, EtcdKeyringFlags } from '../context.ts'
import { print, type OutputFormat } from '../output.ts'
import { checkApiServerManifest } from './api-server-check.ts'
import { checkEncryptionConfig } from './encryption-config-check.ts'
import { findingsAbout, problemOf, type Finding } from './finding.ts'
import { checkKeyring, type KeyringCheck } from './keyring-check.ts'
import { checkMembers } from './members-check.ts'
import { checkRoots } from './root-check.ts'
import { checkSocket } from './socket-check.ts'
import { checkVersions } from './version-check.ts'

/** Flags of `latchkey doctor`; what is not named is not looked at. */
export interface DoctorFlags extends EtcdKeyringFlags {
  readonly keyring: string | undefined
  readonly root: readonly string[]
  /** The plugin's endpoint, `unix:///PATH`. */
  readonly listen: string | undefined
  readonly encryptionConfig: string | undefined
  readonly apiServerManifest: string | undefined
  /** How long a key may be active before it is warned of. Default 90 (KEP-3299). */
  readonly maxKeyAgeDays?: number
  readonly output: OutputFormat
}

/**
 * `latchkey doctor`: looks at everything that was named and prints each finding with its remedy.
 *
 * @returns whether no problem was found.
 * @throws `ERR_USAGE` when nothing was named.
 */
export async function doctor(
  context: AdminContext,
  options: {
    readonly flags: DoctorFlags
    readonly versions: { readonly node: string; readonly latchkey: string }
  },
): Promise<boolean> {
  const { flags } = options
  const findings = [...checkVersions(options.versions), ...(await examine(context, flags))]
  await print(context.terminal, {
    format: flags.output,
    value: { findings },
    table: () => findings.flatMap(rowsOf),
  })
  const problems = findings.filter(({ level }) => level === 'problem').length
  const warnings = findings.filter(({ level }) => level === 'warning').length
  context.terminal.say(`${problems} problem(s), ${warnings} warning(s)`)
  return problems === 0
}

async function examine(context: AdminContext, flags: DoctorFlags): Promise<readonly Finding[]> {
  const socketPath = flags.listen === undefined ? undefined : socketPathOf(flags.listen)
  const named = [flags.keyring, socketPath, flags.encryptionConfig, flags.apiServerManifest]
  if (flags.root.length === 0 && named.every((value) => value === undefined)) {
    throw new LatchkeyError('ERR_USAGE', 'nothing to look at was named', {
      hint: 'name some of --keyring, --root, --listen, --encryption-config, --api-server-manifest, or --config with them',
    })
  }
  const { findings: rootFindings, roots } = await checkRoots(context, flags)
  const findings = [...rootFindings]
  const checked =
    flags.keyring === undefined
      ? undefined
      : await checkStore(context, { ...flags, keyring: flags.keyring }, roots)
  using keyring = checked?.keyring
  findings.push(...(checked?.findings ?? []))
  if (socketPath !== undefined) {
    findings.push(...(await checkSocket(socketPath, { keyring })))
  }
  findings.push(
    ...(await checkFile(context, {
      subject: 'encryption-config',
      path: flags.encryptionConfig,
      check: (text) => checkEncryptionConfig(text, { socketPath }),
    })),
    ...(await checkFile(context, {
      subject: 'kube-apiserver',
      path: flags.apiServerManifest,
      check: (text) =>
        checkApiServerManifest(text, {
          socketPath,
          encryptionConfigPath:
            flags.encryptionConfig && resolve(context.cwd, flags.encryptionConfig),
        }),
    })),
  )
  return findings
}

/** A store that cannot even be opened is a finding as well. */
async function checkStore(
  context: AdminContext,
  flags: EtcdKeyringFlags & Pick<DoctorFlags, 'maxKeyAgeDays'> & { readonly keyring: string },
  roots: readonly RootKey[],
): Promise<KeyringCheck> {
  let store: KeyringStore
  try {
    store = await context.openStore(flags.keyring, flags)
  } catch (error) {
    return { findings: [problemOf('keyring', error)], keyring: undefined }
  }
  try {
    const { findings, keyring } = await checkKeyring(store, {
      roots,
      nowMs: context.now(),
      maxKeyAgeDays: flags.maxKeyAgeDays,
    })
    return { findings: [...findings, ...(await checkMembers(store))], keyring }
  } finally {
    store.close?.()
  }
}

async function checkFile(
  context: AdminContext,
  file: {
    readonly subject: string
    readonly path: string | undefined
    readonly check: (text: string) => readonly Finding[]
  },
): Promise<readonly Finding[]> {
  if (file.path === undefined) return []
  const path = resolve(context.cwd, file.path)
  try {
    return file.check(await readFile(path, 'utf8'))
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) return [problemOf(file.subject, error)]
    return [
      findingsAbout(file.subject).problem(`${path}: ${code}`, 'name a file that you may read'),
    ]
  }
}

function socketPathOf(endpoint: string): string {
  if (endpoint.startsWith('unix:///')) return endpoint.slice('unix://'.length)
  throw new LatchkeyError('ERR_USAGE', '--listen is not of the form unix:///PATH')
}

function rowsOf(finding: Finding): readonly (readonly string[])[] {
  const row = [finding.level, finding.subject, finding.message]
  return finding.remedy === undefined ? [row] : [row, ['', '', `→ ${finding.remedy}`]]
}
