import { isLatchkeyError } from '../../../base/errors.ts'
import { persist, refuse } from './persist.ts'
import type { ApiServer, CanaryFinding, RotationPorts } from './ports.ts'

/** How long a server's writes may lag behind its plugin when nothing can be seen of them. */
const apiServerLagMs = 240_000
const lookEveryMs = 1_000

/** Options of {@link proveServers}. */
export interface ProveOptions {
  /** The key that every API server must write with. */
  readonly keyId: string
  /** Every key of the keyring: what is written under another is somebody else's. */
  readonly ours: ReadonlySet<string>
  /** Providers known to use our keys; each must be seen to use the new one. */
  readonly providers: ReadonlySet<string>
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Proves that every API server encrypts with the new key: through each, an object of each resource
 * is written and looked at in etcd as it lies there. Returns the servers that were proved.
 *
 * @remarks
 * A provider that covers none of the resources that can be written is proved by the clock: an API
 * server asks its plugin at least once a minute and refuses to write three minutes after the last
 * answer (constants of its encryption configuration), and every plugin has acknowledged.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming the servers that were not reached or not seen to use it.
 */
export async function proveServers(
  ports: RotationPorts,
  options: ProveOptions,
): Promise<readonly ApiServer[]> {
  const begun = ports.clock.monotonicMs()
  const servers = await reachAll(ports, options)
  const total = servers.length
  ports.tell({
    event: 'step',
    step: 'prove',
    state: 'started',
    text: `writing through ${total} API server(s): ${servers.map(({ name }) => name).join(', ')}`,
    total,
  })
  try {
    let done = 0
    const seen = await Promise.all(
      servers.map(async (server) => {
        const providers = await proveOne(ports, server, options)
        done += 1
        const text = `${server.name} writes with the new key`
        ports.tell({ event: 'step', step: 'prove', state: 'progress', text, done, total })
        return providers
      }),
    )
    const unseen = [...options.providers].filter((name) => !seen.every((it) => it.has(name)))
    if (unseen.length > 0) await waitByTheClock(ports, { ...options, unseen, begun })
  } finally {
    await ports.canaries.remove(options.signal).catch(() => {
      ports.tell({
        event: 'note',
        text: 'canaries are left behind (label latchkey.dev/canary); the next run removes them',
      })
    })
  }
  ports.tell({
    event: 'step',
    step: 'prove',
    state: 'done',
    text: `all ${total} API server(s) write with the new key`,
    done: total,
    total,
  })
  return servers
}

async function reachAll(
  ports: RotationPorts,
  options: ProveOptions,
): Promise<readonly ApiServer[]> {
  const deadline = ports.clock.monotonicMs() + options.timeoutMs
  for (;;) {
    const { servers, missing } = await persist(ports, { step: 'prove', ...options }, () =>
      ports.servers.discover(options.signal),
    )
    if (missing.length === 0 && servers.length > 0) return servers
    if (ports.clock.monotonicMs() >= deadline) {
      throw refuse(
        `not every API server can be proved: ${missing.map(({ name, reason }) => `${name} ${reason}`).join('; ')}`,
        'start it or name its address with --server URL; if it is gone for good, delete its Lease in kube-system; then repeat the command, which goes on from here',
      )
    }
    const text = `waiting for ${missing.map(({ name, reason }) => `${name}, which ${reason}`).join('; ')}`
    ports.tell({ event: 'step', step: 'prove', state: 'progress', text })
    await ports.clock.sleep(2 * lookEveryMs, options.signal)
  }
}

/** Writes until everything of ours is under the new key. Returns the providers of ours that were seen. */
async function proveOne(
  ports: RotationPorts,
  server: ApiServer,
  options: ProveOptions,
): Promise<ReadonlySet<string>> {
  const { signal } = options
  const deadline = ports.clock.monotonicMs() + options.timeoutMs
  for (;;) {
    const findings = await persist(ports, { step: 'prove', ...options }, () =>
      ports.canaries.write(server, signal),
    )
    const foreign = findings.find(isForeign(options))
    if (foreign !== undefined) {
      throw refuse(
        `${server.name} encrypts ${foreign.resource} with key ${foreign.keyId ?? ''} of another keyring`,
        'compare the keyrings of all control planes with "latchkey keys list", and merge them with "latchkey keys adopt"',
      )
    }
    const mine = findings.filter(({ keyId }) => keyId !== undefined && options.ours.has(keyId))
    if (mine.length > 0 && mine.every(({ keyId }) => keyId === options.keyId)) {
      return new Set(mine.map(({ provider }) => provider))
    }
    if (ports.clock.monotonicMs() >= deadline) throw unproved(server, mine)
    await ports.clock.sleep(lookEveryMs, signal)
  }
}

/** A key id of our form, under a provider of ours, that our keyring has never had. */
function isForeign({ ours, providers }: ProveOptions) {
  return ({ provider, keyId }: CanaryFinding): boolean =>
    keyId !== undefined && !ours.has(keyId) && providers.has(provider)
}

function unproved(server: ApiServer, mine: readonly CanaryFinding[]): Error {
  const [stale] = mine
  const hint =
    'look at its /readyz/kms-providers and at the log of its plugin; then repeat the command, which goes on from here'
  if (stale === undefined) {
    return refuse(`${server.name} encrypts neither Secrets nor ConfigMaps with this keyring`, hint)
  }
  return refuse(
    `${server.name} still writes ${stale.resource} under key ${stale.keyId ?? ''} of provider ${stale.provider}`,
    hint,
  )
}

async function waitByTheClock(
  ports: RotationPorts,
  options: ProveOptions & { readonly unseen: readonly string[]; readonly begun: number },
): Promise<void> {
  const names = options.unseen.join(', ')
  ports.tell({
    event: 'note',
    text: `${names}: no Secret or ConfigMap can show which key it writes with, so the API servers' own limits must pass (${apiServerLagMs / 1000} s)`,
  })
  for (;;) {
    const left = options.begun + apiServerLagMs - ports.clock.monotonicMs()
    if (left <= 0) return
    ports.tell({
      event: 'step',
      step: 'prove',
      state: 'progress',
      text: `waiting for the API servers' limits to pass, for ${names}`,
      etaSeconds: Math.ceil(left / 1000),
    })
    await ports.clock.sleep(Math.min(left, 10_000), options.signal)
  }
}

/** Whether two discoveries found the same servers. */
export function sameServers(a: readonly ApiServer[], b: readonly ApiServer[]): boolean {
  const ids = (servers: readonly ApiServer[]): string =>
    servers
      .map(({ id }) => id)
      .sort()
      .join('\n')
  return ids(a) === ids(b)
}

/** Whether an error only says that somebody did not answer. */
export function isOutage(error: unknown): boolean {
  return isLatchkeyError(error) && error.code.endsWith('_UNAVAILABLE')
}
