import type { Clock } from '../../../base/clock.ts'
import { isLatchkeyError } from '../../../base/errors.ts'
import type { EtcdClient } from '../../../clients/etcd/client.ts'
import type { ClusterAccess } from '../../../clients/kubernetes-access.ts'
import type { AnnexLock } from '../../../keyring/annex.ts'
import { confirm } from '../../confirm.ts'
import type { AdminContext, KeyringFlags } from '../../context.ts'
import type { OutputFormat } from '../../output.ts'
import { createConnections } from './adapters/connections.ts'
import { openRotationPorts } from './adapters/open.ts'
import { createDisplay } from './display.ts'
import { abortRotation } from './keyring-steps.ts'
import { look } from './look.ts'
import { explainPlan, planValue } from './plan.ts'
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
  const { terminal } = context
  const json = flags.output === 'json'
  const tell = createDisplay(terminal, { json, now: context.now })
  using connections = createConnections(deps.access, deps.clock)
  const open = (): Promise<RotationPorts> =>
    openRotationPorts(context, { ...deps, connections, tell }, flags)

  if (flags.dryRun) {
    const ports = await open()
    const plan = await look(ports, { timeoutMs: flags.timeoutMs, signal: deps.signal })
    terminal.progress?.('')
    if (json) terminal.data(JSON.stringify({ event: 'plan', ...planValue(plan) }))
    else for (const line of explainPlan(plan, flags)) terminal.data(line)
    return
  }
  const annex = await context.openAnnex(flags.keyring, flags)
  const lock = await acquire(
    deps,
    () => annex.lock('rotation', deps.holder),
    (text) => {
      tell({ event: 'note', text })
    },
  )
  try {
    const signal = AbortSignal.any([deps.signal, lock.lost])
    const ports = await open()
    if (flags.abort) {
      await abort(context, ports, { ...flags, signal })
      return
    }
    const options: RotateOptions = {
      timeoutMs: flags.timeoutMs,
      requestTimeoutMs: flags.requestTimeoutMs,
      accepted: new Set(flags.acceptStuck),
      make: context,
      random: context.random,
      signal,
      agree: async (plan) => {
        terminal.progress?.('')
        if (json) terminal.data(JSON.stringify({ event: 'plan', ...planValue(plan) }))
        const explanation = json && flags.yes ? [] : explainPlan(plan, flags)
        await confirm(terminal, { explanation, yes: flags.yes })
      },
    }
    const outcome = await rotateKeys(ports, options)
    if (json) return
    terminal.say(
      `Rotated: nothing in etcd needs ${outcome.retired.join(', ') || 'an old key'} at revision ${outcome.revision}.`,
    )
    terminal.say('Now make a backup of the keyring: "latchkey keys backup".')
    terminal.data(outcome.keyId)
  } finally {
    terminal.progress?.('')
    await lock.release()
  }
}

async function abort(
  context: AdminContext,
  ports: RotationPorts,
  flags: RotateFlags & { readonly signal: AbortSignal },
): Promise<void> {
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
  lock: () => Promise<AnnexLock>,
  note: (text: string) => void,
): Promise<AnnexLock> {
  const end = deps.clock.monotonicMs() + lockWaitMs
  for (let told = false; ; told = true) {
    try {
      return await lock()
    } catch (error) {
      if (!isLatchkeyError(error, 'ERR_BUSY') || deps.clock.monotonicMs() >= end) throw error
      if (!told) note(`${error.message}; waiting up to ${lockWaitMs / 1000} s for it to end`)
    }
    await deps.clock.sleep(1_000, deps.signal)
  }
}
