import { parseHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseFlags, parseSettingsFile, type Settings } from '../base/settings.ts'
import { isInEtcd } from '../keyring/place.ts'
import { parseSocketUrl } from '../net/socket-path.ts'
import { logLevels, type LogLevel } from '../observe/log.ts'

/** What the plugin is told to do. */
export interface KmsConfig {
  /** Directory of the keyring, or `etcd:https://HOST:PORT[,…]/PREFIX`. */
  readonly keyring: string
  /** For a keyring in etcd: files for TLS, and the directory of this node's own copy. */
  readonly etcd: KmsEtcdConfig
  /** What this node is called among those that share a keyring; by default the host's name. */
  readonly nodeName: string | undefined
  /** At least one; any one that fits opens the keyring. */
  readonly roots: readonly string[]
  /** Path of the socket; may be left out where the service manager passes one. */
  readonly listen: string | undefined
  /** Where metrics and health are served; nowhere by default. */
  readonly metrics: HostPort | undefined
  /** Name or number of a group that may connect, besides our own user. */
  readonly socketGroup: string | undefined
  /** Whether anything that is not as it should be makes Status unhealthy. Default no. */
  readonly strictHealth: boolean
  /** Default `info`. */
  readonly logLevel: LogLevel
}

/** How a keyring in etcd is reached; see `EtcdStoreFlags`. */
export interface KmsEtcdConfig {
  readonly etcdCa: string | undefined
  readonly etcdCert: string | undefined
  readonly etcdKey: string | undefined
  readonly localCopy: string
}

/** Where a node keeps its copy of a keyring in etcd unless told otherwise. */
const defaultLocalCopy = '/var/lib/latchkey/copy'

/** A command line taken apart. */
export type KmsCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve'; readonly config: KmsConfig }

/** The plugin's `--help`. */
export const kmsHelp = `Usage: latchkey-kms --keyring PLACE --root ROOT --listen unix:///PATH [options]

Serves KMS v2 and v1beta1 to a kube-apiserver on a unix socket.

  --keyring PLACE       directory of the keyring, or etcd:https://HOST:PORT[,…]/PREFIX
  --etcd-ca FILE        authorities of etcd's certificates, PEM
  --etcd-cert FILE      client certificate for etcd, PEM; used anew when it changes
  --etcd-key FILE       its private key, PEM
  --local-copy DIR      this node's copy of a keyring in etcd (default ${defaultLocalCopy})
  --node-name NAME      this node among those that share a keyring in etcd (default: host name)
  --root ROOT           what opens it (repeatable, any one that fits): file:FILE, passphrase:FILE,
                        passphrase:fd:N, file:credential:NAME, passphrase:credential:NAME
  --listen unix:///PATH the socket; not needed when systemd passes one
  --socket-group GROUP  let this group connect as well, mode 0660 (name or number)
  --metrics HOST:PORT   serve /metrics, /livez and /readyz there, over plain HTTP
  --strict-health       be unhealthy for anything amiss, not only for an unusable active key
  --log-level LEVEL     debug, info, warn or error (default info)
  --config FILE         YAML file with any of these, by the same names; flags win over it
  --version             print the version
  --help                print this

Runs until SIGTERM or SIGINT; SIGHUP makes it look at the keyring again. Logs to standard error.
Exit codes: 0 stopped, 1 failed, 2 used wrongly, 3 refused the keyring because it would lose data.
`

const flags = {
  keyring: { type: 'string' },
  'etcd-ca': { type: 'string' },
  'etcd-cert': { type: 'string' },
  'etcd-key': { type: 'string' },
  'local-copy': { type: 'string' },
  'node-name': { type: 'string' },
  root: { type: 'string', multiple: true },
  listen: { type: 'string' },
  'socket-group': { type: 'string' },
  metrics: { type: 'string' },
  'strict-health': { type: 'boolean' },
  'log-level': { type: 'string' },
  config: { type: 'string' },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
} as const

const of = { flags, program: 'latchkey-kms', numbers: ['socket-group'] }

/**
 * Reads the command line and the file that it names.
 *
 * @throws `ERR_USAGE` for a wrong command line, `ERR_CONFIG_INVALID` and `ERR_SOCKET_PATH` for a
 * wrong value, each naming flag or key; what `readText` throws.
 */
export async function readKmsCommand(
  args: readonly string[],
  deps: { readonly readText: (path: string) => Promise<string> },
): Promise<KmsCommand> {
  const given = parseFlags(args, of)
  if (given['help'] === true) return { kind: 'help' }
  if (given['version'] === true) return { kind: 'version' }
  const file = given['config']
  const filed =
    typeof file === 'string'
      ? parseSettingsFile(await import('yaml'), await deps.readText(file), of)
      : {}
  const config = settle({ ...filed, ...given })
  refuseIdle(given, config.keyring)
  return { kind: 'serve', config }
}

/**
 * Flags for a keyring in etcd do nothing for another. In a file they are let be: a keyring may have
 * come back from etcd, and what an API server waits for must not fail to start over that.
 */
function refuseIdle(given: Settings, keyring: string): void {
  if (isInEtcd(keyring)) return
  for (const name of ['etcd-ca', 'etcd-cert', 'etcd-key', 'local-copy', 'node-name']) {
    if (given[name] === undefined) continue
    throw new LatchkeyError('ERR_USAGE', `--${name} is for a keyring in etcd`, {
      hint: 'leave it out, or name one with --keyring etcd:https://HOST:PORT/PREFIX',
    })
  }
}

function settle(settings: Settings): KmsConfig {
  const keyring = text(settings, 'keyring')
  if (keyring === undefined || keyring === '') throw usage('--keyring is missing')
  const root = settings['root']
  const roots = typeof root === 'string' ? [root] : Array.isArray(root) ? root : []
  if (roots.length === 0) throw usage('--root is missing')
  const listen = text(settings, 'listen')
  const metrics = text(settings, 'metrics')
  return {
    keyring,
    etcd: {
      etcdCa: text(settings, 'etcd-ca'),
      etcdCert: text(settings, 'etcd-cert'),
      etcdKey: text(settings, 'etcd-key'),
      localCopy: text(settings, 'local-copy') ?? defaultLocalCopy,
    },
    nodeName: text(settings, 'node-name'),
    roots,
    listen: listen === undefined ? undefined : parseSocketUrl(listen, 'listen'),
    metrics: metrics === undefined ? undefined : parseHostPort(metrics, 'metrics'),
    socketGroup: text(settings, 'socket-group'),
    strictHealth: settings['strict-health'] === true,
    logLevel: logLevel(text(settings, 'log-level') ?? 'info'),
  }
}

function logLevel(name: string): LogLevel {
  const level = logLevels.find((known) => known === name)
  if (level !== undefined) return level
  throw new LatchkeyError('ERR_CONFIG_INVALID', 'log-level is no known level', {
    hint: `use one of ${logLevels.join(', ')}`,
  })
}

function text(settings: Settings, name: string): string | undefined {
  const value = settings[name]
  return typeof value === 'string' ? value : undefined
}

function usage(message: string): LatchkeyError {
  return new LatchkeyError('ERR_USAGE', message, { hint: 'see latchkey-kms --help' })
}
