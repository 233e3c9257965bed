import type { Clock } from '../../../base/clock.ts'
import { isLatchkeyError } from '../../../base/errors.ts'
import type { EtcdClient } from '../../../clients/etcd/client.ts'
import type { ClusterAccess } from '../../../clients/kubernetes-access.ts'
import type { Annex, AnnexLock } from '../../../keyring/annex.ts'
import { confirm } from '../../confirm.ts'
import type { AdminContext, KeyringFlags } from '../../context.ts'
import type { OutputFormat } from '../../output.ts'
import { createConnections } from './adapters/connections.ts'
import { openRotationPorts } from './adapters/open.ts'
import { createDisplay } from './display.ts'
import { abortRotation } from './keyring-steps.ts'
import { look } from './look.ts'
import { explainOutcome, explainPlan, planValue } from './plan.ts'
import type { RotationPorts } from './ports.ts'
import { rotateKeys, type RotateOptions } from './rotate.ts'

/** What `latchkey keys rotate` gets from the process besides the context. */
export interface RotateDeps {
  readonly access: ClusterAccess
  /** The etcd of the API servers, a client for each cluster. */
  readonly etcd: readonly EtcdClient[]
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  /** Who holds the lock, for whoever waits for it. */
  readonly holder: string
  readonly signal: AbortSignal
}

/** Flags of `latchkey keys rotate`. Durations are milliseconds. */
export interface RotateFlags extends KeyringFlags {
  readonly server: readonly string[]
  /** Path of the plugin's socket, for a keyring of one node. */
  readonly socket: string | undefined
  readonly dryRun: boolean
  readonly yes: boolean
  readonly abort: boolean
  readonly acceptStuck: readonly string[]
  readonly timeoutMs: number
  readonly requestTimeoutMs: number
  readonly prefix: string
  readonly canaryNamespace: string
  readonly rate: number | undefined
  readonly output: OutputFormat
}

/** How long to wait for a lock whose holder was killed: its lease must end. */
const lockWaitMs = 25_000

/** `latchkey keys rotate`: see {@link rotateKeys}. */
export async function keysRotate(
  context: AdminContext,
  deps: RotateDeps,
  flags: RotateFlags,
): Promise<void> {
  const tell = createDisplay(context.terminal, {
    json: flags.output === 'json',
    now: context.now,
  })
  using connections = createConnections(deps.access, deps.clock)
  const store = await context.openStore(flags.keyring, flags)
  const annex = await context.openAnnex(flags.keyring, flags)
  try {
    const ports = await openRotationPorts(
      context,
      { ...deps, store, annex, connections, tell },
      flags,
    )
    if (flags.dryRun) {
      await dryRun(context, ports, { ...flags, signal: deps.signal })
      return
    }
    const lock = await acquire(deps, annex, (text) => {
      tell({ event: 'note', text })
    })
    try {
      const signal = AbortSignal.any([deps.signal, lock.lost])
      if (flags.abort) await abort(context, ports, { ...flags, signal })
      else await run(context, ports, { ...flags, signal })
    } finally {
      await lock.release()
    }
  } finally {
    context.terminal.progress?.('')
    store.close?.()
    annex.close?.()
  }
}

type RunFlags = RotateFlags & { readonly signal: AbortSignal }

async function dryRun(
  { terminal }: AdminContext,
  ports: RotationPorts,
  flags: RunFlags,
): Promise<void> {
  const plan = await look(ports, flags)
  terminal.progress?.('')
  if (flags.output === 'json') terminal.data(JSON.stringify({ event: 'plan', ...planValue(plan) }))
  else for (const line of explainPlan(plan, flags)) terminal.data(line)
}

async function run(context: AdminContext, ports: RotationPorts, flags: RunFlags): Promise<void> {
  const { terminal } = context
  const json = flags.output === 'json'
  const options: RotateOptions = {
    ...flags,
    accepted: new Set(flags.acceptStuck),
    make: context,
    random: context.random,
    agree: async (plan) => {
      terminal.progress?.('')
      if (json) terminal.data(JSON.stringify({ event: 'plan', ...planValue(plan) }))
      const explanation = json && flags.yes ? [] : explainPlan(plan, flags)
      await confirm(terminal, { explanation, yes: flags.yes })
    },
  }
  const outcome = await rotateKeys(ports, options)
  if (json) return
  terminal.say(explainOutcome(outcome))
  terminal.say('Now make a backup of the keyring: "latchkey keys backup".')
  terminal.data(outcome.keyId)
}

async function abort(context: AdminContext, ports: RotationPorts, flags: RunFlags): Promise<void> {
  const explanation = [
    'Giving the rotation up: the staged key, which never encrypted anything, is destroyed.',
  ]
  await confirm(context.terminal, { explanation, yes: flags.yes })
  const { timeoutMs, signal } = flags
  const given = await abortRotation(ports, { make: context, timeoutMs, signal })
  context.terminal.say(
    given === undefined ? 'There was nothing to give up.' : `${given} is destroyed.`,
  )
}

/** Waits a while for whoever holds the lock: one that was killed seems to hold it until its lease ends. */
async function acquire(
  deps: RotateDeps,
  annex: Annex,
  note: (text: string) => void,
): Promise<AnnexLock> {
  const end = deps.clock.monotonicMs() + lockWaitMs
  for (let told = false; ; told = true) {
    try {
      return await annex.lock('rotation', deps.holder)
    } catch (error) {
      if (!isLatchkeyError(error, 'ERR_BUSY') || deps.clock.monotonicMs() >= end) throw error
      if (!told) note(`${error.message}; waiting up to ${lockWaitMs / 1000} s for it to end`)
    }
    await deps.clock.sleep(1_000, deps.signal)
  }
}
