import type { HostPort } from '../base/address.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseFlags, parseMapping } from '../base/settings.ts'
import { printDuration } from '../injection/duration.ts'
import type { Json, JsonObject } from '../injection/pod/json.ts'
import { isObject } from '../injection/pod/json.ts'
import { parseAuditLimit } from '../observe/audit-rotation.ts'
import { logLevels, type LogLevel } from '../observe/log.ts'
import { ConfigFields } from './config-fields.ts'
import type { SidecarSettings } from './settings.ts'
import { readSidecarConfig } from './sidecar-config.ts'

/** How long certificates that are made here are valid, in milliseconds. */
export interface CertificateLifetimes {
  readonly authorityLifetimeMs: number
  /** For how long a new authority is handed out before it signs. */
  readonly authorityNoticeMs: number
  readonly webhookLifetimeMs: number
  readonly brokerLifetimeMs: number
}

/** Where the certificates come from. */
export type CertificateConfig =
  /** Made here, from an authority in a Secret of the own namespace. */
  | (CertificateLifetimes & {
      readonly issuer: 'self'
      readonly webhookNames: readonly string[]
      readonly brokerNames: readonly string[]
    })
  /** Somebody else's (cert-manager), in files that are watched. */
  | {
      readonly issuer: 'files'
      readonly cert: string
      readonly key: string
      /** Authorities of the broker, for pods. */
      readonly brokerCa: string
    }

/** What the webhook is told to do. */
export interface WebhookConfig {
  readonly listen: HostPort
  /** Where metrics and health are served; nowhere by default. */
  readonly metrics: HostPort | undefined
  /** The namespace that it runs in. */
  readonly namespace: string
  /** Name of its own pod, whose image is taken; only needed without an image. */
  readonly pod: string
  /** Namespaces whose pods are left alone, its own and `kube-system` always among them. */
  readonly exemptNamespaces: readonly string[]
  readonly kubeconfig: string | undefined
  /** File of the audit chain; none by default. */
  readonly audit: string | undefined
  /** Bytes that the audit's files may take; `undefined`: whatever they come to. */
  readonly auditLimit: number | undefined
  readonly logLevel: LogLevel
  /** How long it goes on serving after it was told to stop, in milliseconds. Default 5 seconds. */
  readonly drainMs: number
  /** Name of the MutatingWebhookConfiguration and of the ValidatingWebhookConfiguration. */
  readonly configurationName: string
  /** The settings of injected containers; without an image, it is the webhook's own. */
  readonly sidecar: Omit<SidecarSettings, 'image'> & { readonly image: string | undefined }
  readonly certificates: CertificateConfig
}

/** A command line taken apart. */
export type WebhookCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve'; readonly config: WebhookConfig }

/** The webhook's `--help`. */
export const webhookHelp = `Usage: latchkey-webhook --config FILE [options]

Admits pods that declare secrets: adds the sidecar, or says what is wrong with the declaration.

  --config FILE         YAML file with the settings; see deploy/cluster/webhook.yaml
  --listen HOST:PORT    where the API server calls
  --metrics HOST:PORT   serve /metrics, /livez and /readyz there, over plain HTTP
  --namespace NAME      the namespace that it runs in (default: its service account's)
  --pod NAME            its own pod, whose image injected containers get
  --image IMAGE         or another image for them
  --kubeconfig FILE     the cluster (default: the service account's)
  --audit FILE          write a hash-chained audit of every decision there
  --audit-limit SIZE    what it may take, such as 900Mi: the file and nine before it; older ones go
  --log-level LEVEL     debug, info, warn or error (default info)
  --version             print the version
  --help                print this

Flags win over the file. Runs until SIGTERM or SIGINT. Logs to standard error.
Exit codes: 0 stopped, 1 failed, 2 used wrongly.
`

const program = 'latchkey-webhook'

const flags = {
  config: { type: 'string' },
  listen: { type: 'string' },
  metrics: { type: 'string' },
  namespace: { type: 'string' },
  pod: { type: 'string' },
  image: { type: 'string' },
  kubeconfig: { type: 'string' },
  audit: { type: 'string' },
  'audit-limit': { type: 'string' },
  'log-level': { type: 'string' },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
} as const

/**
 * Reads the command line and the file that it names.
 *
 * @throws `ERR_USAGE` for a wrong command line, `ERR_CONFIG_INVALID` for a wrong value, naming the
 * field; what the dependencies throw.
 */
export async function readWebhookCommand(
  args: readonly string[],
  deps: {
    readonly readText: (path: string) => Promise<string>
    /** The namespace of the process's own service account, if it has one. */
    readonly ownNamespace: () => Promise<string | undefined>
  },
): Promise<WebhookCommand> {
  const { help, version, config: file, image, ...given } = parseFlags(args, { flags, program })
  if (help === true) return { kind: 'help' }
  if (version === true) return { kind: 'version' }
  const filed = typeof file === 'string' ? await readFile(file, deps) : {}
  const namespace = given['namespace'] ?? filed['namespace'] ?? (await deps.ownNamespace()) ?? null
  const sidecar =
    image === undefined ? filed['sidecar'] : withImage(filed['sidecar'], String(image))
  const merged: JsonObject = {
    ...filed,
    ...given,
    namespace,
    ...(sidecar === undefined ? {} : { sidecar }),
  }
  return { kind: 'serve', config: settle(new ConfigFields(merged)) }
}

async function readFile(
  path: string,
  deps: { readonly readText: (path: string) => Promise<string> },
): Promise<JsonObject> {
  return parseMapping(await import('yaml'), await deps.readText(path), program) as JsonObject
}

function withImage(sidecar: Json | undefined, image: string): Json {
  return sidecar === undefined || isObject(sidecar) ? { ...sidecar, image } : sidecar
}

function settle(fields: ConfigFields): WebhookConfig {
  const namespace = fields.text('namespace')
  if (namespace === undefined || !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'namespace is not known', {
      hint: 'outside of a pod, give --namespace',
    })
  }
  const broker = fields.hostPort('broker') ?? {
    host: `latchkey-broker.${namespace}.svc`,
    port: 24_443,
  }
  const audit = fields.text('audit')
  const sidecar = readSidecarConfig(fields.inner('sidecar'))
  const pod = fields.text('pod')
  if (pod === undefined && sidecar.image === undefined) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'neither pod nor sidecar.image is known', {
      hint: 'give --pod with the name of the own pod, or --image',
    })
  }
  const config: WebhookConfig = {
    listen: fields.hostPort('listen') ?? { host: '::', port: 8443 },
    metrics: fields.hostPort('metrics'),
    namespace,
    pod: pod ?? '',
    exemptNamespaces: [
      ...new Set([namespace, 'kube-system', ...(fields.texts('exempt-namespaces') ?? [])]),
    ],
    kubeconfig: fields.text('kubeconfig'),
    audit,
    auditLimit: parseAuditLimit(fields.text('audit-limit'), audit),
    logLevel: fields.choice('log-level', logLevels, 'info'),
    drainMs: fields.duration('drain', { min: '0s', max: '5m', otherwise: '5s' }),
    configurationName: fields.text('configuration-name') ?? 'injector.latchkey.dev',
    sidecar: {
      ...sidecar,
      broker,
      audience: fields.text('audience') ?? 'latchkey',
    },
    certificates: readCertificates(fields.inner('certificates'), { namespace, broker }),
  }
  fields.end()
  return config
}

function readCertificates(
  fields: ConfigFields,
  place: { readonly namespace: string; readonly broker: HostPort },
): CertificateConfig {
  if (fields.choice('issuer', ['self', 'files'], 'self') === 'files') {
    const file = (name: string): string => {
      const path = fields.text(name)
      if (path === undefined) throw fields.invalid(name, 'is missing; it goes with issuer: files')
      return path
    }
    return { issuer: 'files', cert: file('cert'), key: file('key'), brokerCa: file('broker-ca') }
  }
  const { namespace, broker } = place
  const service = (name: string): readonly string[] => [
    `${name}.${namespace}.svc`,
    `${name}.${namespace}.svc.cluster.local`,
  ]
  const brokerNames = new Set([broker.host, ...service('latchkey-broker')])
  return {
    issuer: 'self',
    ...readLifetimes(fields),
    webhookNames: fields.texts('webhook-names') ?? service('latchkey-webhook'),
    brokerNames: fields.texts('broker-names') ?? [...brokerNames],
  }
}

function readLifetimes(fields: ConfigFields): CertificateLifetimes {
  const lifetimes: CertificateLifetimes = {
    authorityLifetimeMs: fields.duration('authority-lifetime', {
      min: '30s',
      max: '175200h',
      otherwise: '87600h',
    }),
    authorityNoticeMs: fields.duration('authority-notice', {
      min: '1s',
      max: '8760h',
      otherwise: '720h',
    }),
    webhookLifetimeMs: fields.duration('webhook-lifetime', {
      min: '10s',
      max: '2160h',
      otherwise: '24h',
    }),
    brokerLifetimeMs: fields.duration('broker-lifetime', {
      min: '10s',
      max: '2160h',
      otherwise: '72h',
    }),
  }
  const { authorityLifetimeMs, authorityNoticeMs, webhookLifetimeMs, brokerLifetimeMs } = lifetimes
  // A successor is made that long before the end. Were that all of its life, one would follow upon
  // the other at once, without end, and each is in every pod.
  const aheadMs = Math.max(webhookLifetimeMs, brokerLifetimeMs) + 2 * authorityNoticeMs
  const leastMs = Math.ceil((aheadMs * 3) / 2 / 1000) * 1000
  if (authorityLifetimeMs >= leastMs) return lifetimes
  throw fields.invalid(
    'authority-lifetime',
    `is less than ${printDuration(leastMs)}, one and a half times what a succession takes: twice authority-notice and the longer of webhook-lifetime and broker-lifetime`,
  )
}
