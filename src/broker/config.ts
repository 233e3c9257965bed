import { parseHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseFlags, parseSettingsFile, type Settings } from '../base/settings.ts'
import { parseAuditLimit } from '../observe/audit-rotation.ts'
import { logLevels, type LogLevel } from '../observe/log.ts'
import { brokerFlags } from './flags.ts'
import type { SessionRules } from './session.ts'

/** How the broker learns who a pod is. */
export type AuthConfig =
  | { readonly kind: 'kubernetes'; readonly kubeconfig: string | undefined }
  | { readonly kind: 'static'; readonly file: string }

/** What the broker is told to do. */
export interface BrokerConfig {
  readonly listen: HostPort
  readonly tlsCert: string
  readonly tlsKey: string
  /** File of the certificate authorities that are handed out; none by default. */
  readonly tlsCa: string | undefined
  /** As `--source` has it; read by the sources' own `parseSourceSpec`. */
  readonly source: string
  readonly storeRoot: string | undefined
  /** File of the key of versions; by default the source's, or one of this process's own. */
  readonly versionKey: string | undefined
  readonly auth: AuthConfig
  /** For sources of the cluster while `auth` is static; otherwise that of `auth`. */
  readonly kubeconfig: string | undefined
  /** Default `latchkey`. */
  readonly audience: string
  readonly audit: string | undefined
  readonly auditKey: string | undefined
  /** Bytes that the audit's files may take; `undefined`: whatever they come to. */
  readonly auditLimit: number | undefined
  readonly metrics: HostPort | undefined
  readonly rules: SessionRules
  /** Default 20000, 1 to 200000. */
  readonly maxStreams: number
  readonly logLevel: LogLevel
}

/** A command line taken apart. */
export type BrokerCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve'; readonly config: BrokerConfig }

const of = { flags: brokerFlags, program: 'latchkey-broker', numbers: ['max-streams'] }

/**
 * Reads the command line and the file that it names.
 *
 * @throws `ERR_USAGE` for a wrong command line, `ERR_CONFIG_INVALID` for a wrong value, each naming
 * flag or key; what `readText` throws.
 */
export async function readBrokerCommand(
  args: readonly string[],
  deps: { readonly readText: (path: string) => Promise<string> },
): Promise<BrokerCommand> {
  const given = parseFlags(args, of)
  if (given['help'] === true) return { kind: 'help' }
  if (given['version'] === true) return { kind: 'version' }
  const file = given['config']
  if (typeof file !== 'string') return { kind: 'serve', config: settle(given) }
  const filed = parseSettingsFile(await import('yaml'), await deps.readText(file), of)
  return { kind: 'serve', config: settle({ ...filed, ...given }) }
}

function settle(settings: Settings): BrokerConfig {
  const text = (name: string): string | undefined => {
    const value = settings[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const required = (name: string): string => text(name) ?? missing(name)
  const listen = parseHostPort(required('listen'), 'listen')
  const kubeconfig = text('kubeconfig')
  const auth = authOf(text('auth') ?? 'kubernetes', { kubeconfig, listen })
  const metrics = text('metrics')
  const rules: SessionRules = {
    requireInjected: settings['require-injected'] === true,
    bindPodIp: oneOf(text('bind-pod-ip') ?? 'off', ['off', 'warn', 'enforce'], 'bind-pod-ip'),
  }
  if (auth.kind === 'static' && (rules.requireInjected || rules.bindPodIp !== 'off')) {
    throw invalid(
      'require-injected and bind-pod-ip need auth kubernetes',
      'a static file knows neither containers nor addresses: leave them out',
    )
  }
  const audit = text('audit')
  const source = required('source')
  refuseIdle(text, { staticAuth: auth.kind === 'static', source, audit })
  return {
    listen,
    tlsCert: required('tls-cert'),
    tlsKey: required('tls-key'),
    tlsCa: text('tls-ca'),
    source,
    storeRoot: text('store-root'),
    versionKey: fileOf(text('version-key'), 'version-key'),
    auth,
    kubeconfig,
    audience: audienceOf(text('audience') ?? 'latchkey'),
    audit,
    auditKey: fileOf(text('audit-key'), 'audit-key'),
    auditLimit: parseAuditLimit(text('audit-limit'), audit),
    metrics: metrics === undefined ? undefined : parseHostPort(metrics, 'metrics'),
    rules,
    maxStreams: countOf(text('max-streams') ?? '20000'),
    logLevel: oneOf(text('log-level') ?? 'info', logLevels, 'log-level'),
  }
}

/** Settings that would do nothing are mistakes: whoever gave them believes otherwise. */
function refuseIdle(
  text: (name: string) => string | undefined,
  about: {
    readonly staticAuth: boolean
    readonly source: string
    readonly audit: string | undefined
  },
): void {
  const { staticAuth, source, audit } = about
  const ofCluster = source === 'kubernetes'
  if (audit === undefined && text('audit-key') !== undefined) {
    throw invalid('audit-key is given without audit', 'name the file with --audit')
  }
  if (ofCluster && text('store-root') !== undefined) {
    throw invalid('store-root is for a source file:DIR', 'leave it out, or name that source')
  }
  if (!staticAuth) return
  if (text('audience') !== undefined) {
    throw invalid('audience is for auth kubernetes', 'leave it out: a static file has no audience')
  }
  if (!ofCluster && text('kubeconfig') !== undefined) {
    throw invalid(
      'kubeconfig is there, and neither auth nor source is kubernetes',
      'leave it out, or use the cluster for one of them',
    )
  }
}

function authOf(
  text: string,
  about: { readonly kubeconfig: string | undefined; readonly listen: HostPort },
): AuthConfig {
  if (text === 'kubernetes') return { kind: 'kubernetes', kubeconfig: about.kubeconfig }
  const file = /^static:(.+)$/s.exec(text)?.[1]
  if (file === undefined) {
    throw invalid('auth is neither kubernetes nor static:FILE', 'see latchkey-broker --help')
  }
  // A static file knows nothing of nodes, addresses and lifetimes: it must not face a network.
  if (['127.0.0.1', '::1', 'localhost'].includes(about.listen.host)) return { kind: 'static', file }
  throw invalid('auth static:FILE is for loopback only', 'listen on 127.0.0.1, ::1 or localhost')
}

function fileOf(text: string | undefined, name: string): string | undefined {
  if (text === undefined) return undefined
  const file = /^file:(.+)$/s.exec(text)?.[1]
  if (file !== undefined) return file
  throw invalid(
    `${name} is not file:FILE`,
    `give the path of a file, as in file:/etc/latchkey/${name}`,
  )
}

function audienceOf(text: string): string {
  if (/^[\x21-\x7e]{1,253}$/.test(text)) return text
  throw invalid('audience is no name', 'use printable characters without spaces')
}

function countOf(text: string): number {
  if (/^[1-9][0-9]{0,5}$/.test(text) && Number(text) <= 200_000) return Number(text)
  throw invalid('max-streams is no number from 1 to 200000', 'leave it out for 20000')
}

function oneOf<const Word extends string>(
  text: string,
  words: readonly Word[],
  name: string,
): Word {
  const word = words.find((it) => it === text)
  if (word !== undefined) return word
  throw invalid(`${name} has no known value`, `use one of ${words.join(', ')}`)
}

function missing(name: string): never {
  throw usage(`--${name} is missing`)
}

function usage(message: string): LatchkeyError {
  return new LatchkeyError('ERR_USAGE', message, { hint: 'see latchkey-broker --help' })
}

function invalid(message: string, hint: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', message, { hint })
}
