import { parseHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseFlags, parseSettingsFile, type Settings } from '../base/settings.ts'
import { parseDuration } from '../injection/duration.ts'
import { logLevels, type LogLevel } from '../observe/log.ts'
import { staleActions, type OnStale } from './agent/options.ts'
import { sidecarFlags } from './flags.ts'

/** What the sidecar is told to do. */
export interface SidecarConfig {
  readonly broker: HostPort
  /** The name that the broker's certificate must carry; by default the host that is called. */
  readonly brokerName: string | undefined
  /** File of the certificate authorities, PEM. */
  readonly ca: string
  /** `sha256:…` that this file must have. */
  readonly caDigest: string | undefined
  /** File of the service account token. */
  readonly token: string
  /** File of the plan. */
  readonly secrets: string
  /** `sha256:…` that the plan must have. */
  readonly planDigest: string | undefined
  /** Directory that is put before every path of the plan. */
  readonly root: string
  /** Directory for what outlives the process; by default `run/latchkey` below the root. */
  readonly state: string | undefined
  /** With it, the sidecar ends when everything is decided, or after so many milliseconds. */
  readonly once: { readonly timeoutMs: number } | undefined
  readonly health: HostPort | undefined
  readonly metrics: HostPort | undefined
  /** How long readers may use what a publication replaced, in milliseconds. Default one minute. */
  readonly keepPreviousMs: number
  /** How often to look whether everything is still there, in milliseconds. Default 30 seconds. */
  readonly verifyEveryMs: number
  /** After how many milliseconds without confirmation `onStale` happens; never by default. */
  readonly maxStaleMs: number | undefined
  readonly onStale: OnStale
  readonly logLevel: LogLevel
}

/** A command line taken apart. */
export type SidecarCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'run'; readonly config: SidecarConfig }

const of = { flags: sidecarFlags, program: 'latchkey-sidecar' }

/**
 * Reads the command line and the file that it names.
 *
 * @throws `ERR_USAGE` for a wrong command line, `ERR_CONFIG_INVALID` for a wrong value, each naming
 * flag or key; what `readText` throws.
 */
export async function readSidecarCommand(
  args: readonly string[],
  deps: { readonly readText: (path: string) => Promise<string> },
): Promise<SidecarCommand> {
  const given = parseFlags(args, of)
  if (given['help'] === true) return { kind: 'help' }
  if (given['version'] === true) return { kind: 'version' }
  const file = given['config']
  const filed =
    typeof file === 'string'
      ? parseSettingsFile(await import('yaml'), await deps.readText(file), of)
      : {}
  return { kind: 'run', config: settle({ ...filed, ...given }) }
}

function settle(settings: Settings): SidecarConfig {
  const text = (name: string): string | undefined => {
    const value = settings[name]
    return typeof value === 'string' ? value : undefined
  }
  const required = (name: string): string => {
    const value = text(name)
    if (value === undefined || value === '') throw usage(`--${name} is missing`)
    return value
  }
  const address = (name: string): HostPort | undefined => {
    const value = text(name)
    return value === undefined ? undefined : parseHostPort(value, name)
  }
  const time = (name: string): number | undefined => {
    const value = text(name)
    const ms = value === undefined ? undefined : parseDuration(value)
    if (value === undefined || (ms !== undefined && ms > 0)) return ms
    throw invalid(`${name} is no length of time`, 'give a number with ms, s, m or h, as in 30s')
  }
  const timeoutMs = time('once-timeout')
  if (timeoutMs !== undefined && settings['once'] !== true) {
    throw invalid('once-timeout goes with --once', 'add --once, or remove it')
  }
  const maxStaleMs = time('max-stale')
  if (text('on-stale') !== undefined && maxStaleMs === undefined) {
    throw invalid('on-stale goes with --max-stale', 'add --max-stale, or remove it')
  }
  return {
    broker: parseHostPort(required('broker'), 'broker'),
    brokerName: text('broker-name'),
    ca: required('ca'),
    caDigest: digest('ca-digest', text('ca-digest')),
    token: required('token'),
    secrets: required('secrets'),
    planDigest: digest('plan-digest', text('plan-digest')),
    root: required('root'),
    state: text('state'),
    once: settings['once'] === true ? { timeoutMs: timeoutMs ?? 60_000 } : undefined,
    health: address('health'),
    metrics: address('metrics'),
    keepPreviousMs: time('keep-previous') ?? 60_000,
    verifyEveryMs: time('verify-every') ?? 30_000,
    maxStaleMs,
    onStale: choice('on-stale', text('on-stale') ?? 'report', staleActions),
    logLevel: choice('log-level', text('log-level') ?? 'info', logLevels),
  }
}

function choice<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((each) => each === value)
  if (found !== undefined) return found
  throw invalid(`${name} is none of its choices`, `use one of ${choices.join(', ')}`)
}

function digest(name: string, value: string | undefined): string | undefined {
  if (value === undefined || /^sha256:[0-9a-f]{64}$/.test(value)) return value
  throw invalid(`${name} is no digest`, 'give sha256: and 64 hexadecimal digits')
}

function usage(message: string): LatchkeyError {
  return new LatchkeyError('ERR_USAGE', message, { hint: 'see latchkey-sidecar --help' })
}

function invalid(message: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', message, { hint })
}
