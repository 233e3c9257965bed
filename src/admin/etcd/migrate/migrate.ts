import type { Clock } from '../../../base/clock.ts'
import { LatchkeyError } from '../../../base/errors.ts'
import type { KubernetesClient } from '../../../clients/kubernetes.ts'
import { findResource, requirePatchRight, type ServedResource } from './discovery.ts'
import { createFeed, type TargetPage } from './feed.ts'
import { listMetadata } from './listing.ts'
import { createPacer } from './pacer.ts'
import type { MigrateProgress, MigrateReport } from './report.ts'
import { rewrite, targetOf, type RewriteDeps, type Rewritten, type Target } from './rewrite.ts'
import { rewriteStale, type StaleObjects } from './stale.ts'
import { createTally, type Tally } from './tally.ts'

/** What is rewritten, how fast, and who is told. */
export interface MigrateOptions {
  readonly client: KubernetesClient
  /** As the EncryptionConfiguration spells them: `secrets`, `widgets.example.com`. */
  readonly resources: readonly string[]
  /**
   * What etcd holds that is stale. With it exactly those objects are asked for, and it is read again
   * until it names none but the refused. Without it every object is asked for: the API server leaves
   * alone what is fresh.
   */
  readonly stale?: StaleObjects
  /** Most requests on the wire, 1 or more; how many there are adapts to the API server. */
  readonly workers: number
  /** Most objects a second, above 0; `undefined`: as many as the API server likes. */
  readonly rate: number | undefined
  /** Asks the API server to try each rewrite and to store nothing (`dryRun=All`). */
  readonly dryRun: boolean
  /** Told of each object: whoever shows it decides how often. */
  readonly progress: (now: MigrateProgress) => void
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * Rewrites stale objects through the API server, so that etcd holds them under the key that is active.
 *
 * @remarks
 * It keeps no state: killed at any moment and run again it goes on, as what was rewritten is fresh and
 * is left alone. No object is read but for its metadata, none is made, and none changes its content.
 *
 * @throws `ERR_KUBERNETES_NOT_FOUND` when no API serves a resource and nothing says what etcd holds of
 * it; `ERR_KUBERNETES_FORBIDDEN` without the right to patch; `ERR_KUBERNETES_REFUSED` when more than
 * 10,000 objects of a resource are refused; other `ERR_KUBERNETES_*` when going on makes no sense; the
 * signal's reason when it is aborted. Objects that cannot be rewritten are in the report.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateReport> {
  const { client, clock, signal } = options
  const startedAtMs = clock.monotonicMs()
  const pacer = createPacer(options)
  const deps: RewriteDeps = { ...options, pacer }
  const tallies: Tally[] = []
  let proved = true
  for (const resource of options.resources) {
    const tally = createTally(resource, clock)
    tallies.push(tally)
    const tell = (): void => {
      options.progress(tally.progress(pacer.inFlight))
    }
    tell()
    const served = await findResource(client, resource, signal)
    if (served !== undefined) await requirePatchRight(client, served, signal)
    const run = runner(deps, { workers: options.workers, tally, tell })
    if (options.stale !== undefined) {
      const asked = { resource, served, stale: options.stale }
      const held = await rewriteStale(asked, deps, { tally, tell, run })
      proved &&= held
      continue
    }
    proved = false
    if (served === undefined) throw notServed(resource)
    tally.phase = 'rewriting'
    await run(served, everything(served, deps), () => undefined)
  }
  return {
    resources: tallies.map((tally) => tally.report()),
    refused: tallies.flatMap(({ refused }) => refused),
    proved,
    seconds: (clock.monotonicMs() - startedAtMs) / 1000,
  }
}

/** Rewrites all objects of the pages. */
export type Runner = (
  served: ServedResource,
  pages: AsyncIterable<TargetPage>,
  onOutcome: (target: Target, outcome: Rewritten) => void,
) => Promise<void>

function runner(
  deps: RewriteDeps,
  options: { readonly workers: number; readonly tally: Tally; readonly tell: () => void },
): Runner {
  const { workers, tally, tell } = options
  return async (served, pages, onOutcome) => {
    let listed = 0
    const feed = createFeed(pages, ({ targets, remaining }) => {
      listed += targets.length
      if (remaining !== undefined) tally.total = Math.max(tally.total ?? 0, listed + remaining)
      tell()
    })
    let failure: { readonly error: unknown } | undefined
    const work = async (): Promise<void> => {
      for (;;) {
        // After one failure the others end with the object that they have in hand.
        if (failure !== undefined) return
        const target = await feed.next()
        if (target === undefined) return
        const outcome = await rewrite(served, target, deps)
        tally.count(target, outcome)
        onOutcome(target, outcome)
        tell()
      }
    }
    await Promise.all(
      Array.from({ length: workers }, async () => {
        try {
          await work()
        } catch (error) {
          failure ??= { error }
        }
      }),
    )
    if (failure !== undefined) throw failure.error
  }
}

async function* everything(served: ServedResource, deps: RewriteDeps): AsyncGenerator<TargetPage> {
  for await (const { objects, remaining } of listMetadata(deps.client, served, deps)) {
    yield { targets: objects.map(targetOf), remaining }
  }
}

function notServed(resource: string): LatchkeyError {
  return new LatchkeyError(
    'ERR_KUBERNETES_NOT_FOUND',
    `no API serves ${resource} so that its objects can be listed and patched`,
    {
      hint: 'name the plural and the group, as in widgets.example.com; for what only etcd knows of, add --etcd',
    },
  )
}
