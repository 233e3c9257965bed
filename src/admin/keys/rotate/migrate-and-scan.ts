import type { OpenRotation } from './journal.ts'
import { overtaken } from './keyring-steps.ts'
import { persist, refuse } from './persist.ts'
import type { ApiServer, RotationPorts, StorageView, Stuck } from './ports.ts'
import { proveServers, sameServers } from './prove.ts'
import type { RotateOptions } from './rotate.ts'

/** Rounds of rewriting and reading after which something is plainly writing under an old key. */
const maxRounds = 5

/** What is proved at the end. */
export interface Proof {
  readonly view: StorageView
  /** The keys that nothing needs, or that only accepted objects need. */
  readonly old: readonly string[]
  readonly accepted: readonly string[]
}

/** What one round works on. */
interface Round {
  readonly old: ReadonlySet<string>
  readonly resources: readonly string[]
  readonly servers: readonly ApiServer[]
  /** When the servers were proved, by the monotonic clock. */
  readonly provedMs: number
}

/**
 * Proves the API servers, rewrites what is under old keys, lets one request timeout pass, and reads
 * all of etcd; again, until nothing needs an old key and no API server has come in between.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming objects that still need an old key and why.
 */
export async function migrateAndScan(
  ports: RotationPorts,
  options: RotateOptions & { readonly keyId: string; readonly rotation: OpenRotation },
): Promise<Proof> {
  const keys = await keysOf(ports, options)
  let view = await scan(ports, keys.old, { ...options, step: 'prove' })
  const providers = new Set(
    view.uses.filter(({ keyId }) => keys.all.has(keyId)).map(({ provider }) => provider),
  )
  const prove = async (): Promise<Pick<Round, 'servers' | 'provedMs'>> => {
    const servers = await proveServers(ports, { ...options, ours: keys.all, providers })
    const names = servers.map(({ name }) => name)
    await ports.journal.add(options.rotation.id, { what: 'proved', servers: names })
    return { servers, provedMs: ports.clock.monotonicMs() }
  }
  let proved = await prove()
  for (let round = 0; round < maxRounds; round += 1) {
    const resources = [
      ...new Set(view.uses.filter(({ keyId }) => keys.old.has(keyId)).map((use) => use.resource)),
    ]
    const stuck = await rewrite(ports, options, { ...proved, old: keys.old, resources })
    await settle(ports, options, proved.provedMs)
    view = await scan(ports, keys.old, { ...options, step: 'scan' })
    const { servers, missing } = await persist(ports, { step: 'scan', ...options }, () =>
      ports.servers.discover(options.signal),
    )
    // One that has come since and cannot be reached is none of those proved either.
    if (missing.length > 0 || !sameServers(servers, proved.servers)) {
      ports.tell({ event: 'note', text: 'the API servers are others than before: proving again' })
      proved = await prove()
      continue
    }
    const open = view.needing.filter((name) => !options.accepted.has(name))
    if (view.needingCount === view.needing.length && open.length === 0) {
      requireReadable(view)
      return { view, old: [...keys.old], accepted: view.needing }
    }
    if (stuck.length > 0 && open.every((name) => stuck.some((it) => it.name === name))) {
      throw refuseStuck(stuck.filter(({ name }) => open.includes(name)))
    }
  }
  throw refuse(
    `after ${maxRounds} rounds ${view.needingCount} object(s) are still under an old key: ${view.needing.slice(0, 5).join(', ')}`,
    'something writes with an old key: an API server that is not among those proved? Name it with --server, and repeat the command; what is named by its etcd key belongs to API servers with another --etcd-prefix',
  )
}

async function keysOf(
  ports: RotationPorts,
  options: RotateOptions & { readonly keyId: string },
): Promise<{ readonly old: ReadonlySet<string>; readonly all: ReadonlySet<string> }> {
  return await persist(ports, { step: 'scan', ...options }, async () => {
    using current = await ports.keyring.open()
    const { keys, active } = current.keyring
    // Were the new key an old one by now, servers that still write with it would pass as proved.
    if (active.id !== options.keyId) throw overtaken()
    return {
      old: new Set(keys.filter(({ state }) => state === 'superseded').map(({ id }) => id)),
      all: new Set(keys.map(({ id }) => id)),
    }
  })
}

async function scan(
  ports: RotationPorts,
  old: ReadonlySet<string>,
  options: RotateOptions & { readonly step: 'prove' | 'scan' },
): Promise<StorageView> {
  const { step, signal } = options
  ports.tell({ event: 'step', step, state: 'started', text: 'reading all of etcd' })
  const onProgress = (done: number): void => {
    ports.tell({ event: 'step', step, state: 'progress', text: `${done} objects read`, done })
  }
  const view = await persist(ports, options, () => ports.storage.scan(old, { onProgress, signal }))
  ports.tell({
    event: 'step',
    step,
    state: step === 'scan' ? 'done' : 'progress',
    text: `at revision ${view.revision} ${view.needingCount} of ${view.objects} objects need an old key`,
    done: view.objects,
  })
  return view
}

async function rewrite(
  ports: RotationPorts,
  options: RotateOptions & { readonly rotation: OpenRotation },
  round: Round,
): Promise<readonly Stuck[]> {
  if (round.resources.length === 0) return []
  const begunMs = ports.clock.monotonicMs()
  const text = `rewriting ${round.resources.join(', ')}`
  ports.tell({ event: 'step', step: 'migrate', state: 'started', text })
  const { rewritten, stuck } = await persist(ports, { step: 'migrate', ...options }, () =>
    ports.migrator.migrate(
      { resources: round.resources, keyIds: round.old },
      {
        servers: round.servers,
        onProgress: ({ resource, ...progress }) => {
          const event = { event: 'step', step: 'migrate', state: 'progress' } as const
          ports.tell({ ...event, text: `rewriting ${resource}`, ...progress })
        },
        signal: options.signal,
      },
    ),
  )
  const seconds = (ports.clock.monotonicMs() - begunMs) / 1000
  await ports.journal.add(options.rotation.id, { what: 'migrated', rewritten, seconds })
  ports.tell({
    event: 'step',
    step: 'migrate',
    state: 'done',
    text: `${rewritten} object(s) rewritten${stuck.length > 0 ? `, ${stuck.length} refused` : ''}`,
    done: rewritten,
  })
  return stuck
}

/** A write that began before the proof, with the old key, may land until its request times out. */
async function settle(
  ports: RotationPorts,
  options: RotateOptions,
  provedMs: number,
): Promise<void> {
  const end = provedMs + options.requestTimeoutMs
  const text = 'letting requests that began before the proof end'
  for (let state: 'started' | 'progress' = 'started'; ; state = 'progress') {
    const left = end - ports.clock.monotonicMs()
    if (left <= 0) break
    const etaSeconds = Math.ceil(left / 1000)
    ports.tell({ event: 'step', step: 'settle', state, text, etaSeconds })
    await ports.clock.sleep(Math.min(left, 5_000), options.signal)
  }
  ports.tell({ event: 'step', step: 'settle', state: 'done', text: 'no such request is left' })
}

/** What nobody can read, nobody can say which key it needs. */
function requireReadable(view: StorageView): void {
  if (view.undecodable === 0 && view.unknownV1 === 0) return
  throw refuse(
    `${view.undecodable + view.unknownV1} object(s) in etcd cannot be told which key they need`,
    'see "latchkey etcd scan" for which they are; move KMS v1 objects to version 2, mend or delete damaged ones, and repeat the command',
  )
}

function refuseStuck(stuck: readonly Stuck[]): Error {
  const shown = stuck.slice(0, 10).map(({ name, cause, remedy }) => `${name} (${cause}: ${remedy})`)
  const more = stuck.length > shown.length ? `, and ${stuck.length - shown.length} more` : ''
  return refuse(
    `${stuck.length} object(s) cannot be rewritten and need an old key: ${shown.join('; ')}${more}`,
    'mend each, or accept it by name with --accept-stuck NAME, and repeat the command; a retired key goes on decrypting',
  )
}
