import { parseBytes, printBytes } from '../base/amounts.ts'
import { ConfigFields } from './config-fields.ts'
import { canonicalCpu } from './inject/amounts.ts'
import { printDuration } from '../injection/duration.ts'
import { logLevels } from '../observe/log.ts'
import type { Amounts, SidecarSettings } from './settings.ts'

/** A user and a group that no image is likely to use. */
const defaultOwner = 64_999
const maxId = 2 ** 31 - 1

/** Memory of the process alone below which a cold start thrashes. */
const leastMemory = 96 * 2 ** 20

/**
 * Reads the part of the configuration that is about injected containers. The image may be left out:
 * it is then the webhook's own.
 *
 * @throws `ERR_CONFIG_INVALID`
 */
export function readSidecarConfig(
  fields: ConfigFields,
): Omit<SidecarSettings, 'broker' | 'audience' | 'image'> & { readonly image: string | undefined } {
  const uid = fields.raw('user') === 'assigned' ? 'assigned' : id(fields, 'user', defaultOwner)
  const tokenMs = fields.duration('token-lifetime', { min: '10m', max: '24h', otherwise: '1h' })
  const hostPorts = fields.inner('host-ports')
  const first = hostPorts.integer('first', { min: 1024, max: 65_535, otherwise: 25_000 })
  return {
    image: fields.text('image'),
    imagePullPolicy: fields.choice(
      'image-pull-policy',
      ['IfNotPresent', 'Always', 'Never'],
      'IfNotPresent',
    ),
    imagePullSecrets: fields.texts('image-pull-secrets') ?? [],
    uid,
    gid: id(fields, 'group', defaultOwner),
    preferFsGroup: fields.boolean('prefer-fs-group', false),
    tokenSeconds: Math.floor(tokenMs / 1000),
    ...readAmounts(fields),
    volumeBytesPerEntry: bytes(fields, 'volume-size', '4Mi'),
    healthPort: fields.integer('health-port', { min: 1024, max: 65_535, otherwise: 24_442 }),
    hostPorts: {
      first,
      count: hostPorts.integer('count', { min: 1, max: 65_536 - first, otherwise: 4_000 }),
    },
    mesh: fields.choice('mesh', ['exclude', 'through', 'ignore'], 'exclude'),
    logLevel: fields.choice('log-level', logLevels, 'info'),
    metricsPort: readMetricsPort(fields),
    maxStale: readMaxStale(fields),
  }
}

function readMetricsPort(fields: ConfigFields): number | undefined {
  const range = { min: 1024, max: 65_535, otherwise: 1024 }
  const port = fields.integer('metrics-port', range)
  return fields.has('metrics-port') ? port : undefined
}

function readMaxStale(fields: ConfigFields): SidecarSettings['maxStale'] {
  const range = { min: '1m', max: '8760h', otherwise: '1m' }
  const ms = fields.duration('max-stale', range)
  const action = fields.choice('on-stale', ['report', 'unready', 'remove'], 'report')
  if (fields.has('max-stale')) return { after: printDuration(ms), action }
  if (fields.has('on-stale'))
    throw fields.invalid('on-stale', 'goes with max-stale, which is missing')
  return undefined
}

function id(fields: ConfigFields, name: string, otherwise: number): number {
  return fields.integer(name, { min: 1, max: maxId, otherwise })
}

function bytes(fields: ConfigFields, name: string, otherwise: string): number {
  const amount = parseBytes(fields.text(name) ?? otherwise)
  if (amount !== undefined && amount >= 65_536 && amount <= 2 ** 30) return amount
  throw fields.invalid(name, 'is not an amount of memory from 64Ki to 1Gi')
}

function readAmounts(fields: ConfigFields): { requests: Amounts; limits: Amounts } {
  const limits = canonical(fields, 'limits', fields.amounts('limits') ?? { memory: '96Mi' })
  const requests = canonical(
    fields,
    'requests',
    fields.amounts('requests') ?? { cpu: '5m', memory: '24Mi' },
  )
  if ((parseBytes(limits['memory'] ?? '96Mi') ?? 0) < leastMemory) {
    throw fields.invalid('limits.memory', 'is less than 96Mi, with which a cold start thrashes')
  }
  // As the API server would complete them, so that a second look finds nothing to change.
  return { limits, requests: { ...limits, ...requests } }
}

function canonical(fields: ConfigFields, name: string, amounts: Amounts): Amounts {
  const entries = Object.entries(amounts).map(([resource, amount]): [string, string] => {
    const at = `${name}.${resource}`
    if (resource === 'cpu') {
      const cpu = canonicalCpu(amount)
      if (cpu === undefined) throw fields.invalid(at, 'is not an amount of CPU, such as 10m')
      return [resource, cpu]
    }
    if (resource !== 'memory' && resource !== 'ephemeral-storage') {
      throw fields.invalid(at, 'is none of cpu, memory, ephemeral-storage')
    }
    const size = parseBytes(amount)
    if (size === undefined) throw fields.invalid(at, 'is not an amount of memory, such as 96Mi')
    return [resource, printBytes(size)]
  })
  return Object.fromEntries(entries)
}
