import type { Clock } from '../../../base/clock.ts'
import { LatchkeyError } from '../../../base/errors.ts'
import type { KubernetesClient } from '../../../clients/kubernetes.ts'
import { print, type OutputFormat } from '../../output.ts'
import type { Terminal } from '../../terminal.ts'
import { migrate } from './migrate.ts'
import { progressLine } from './progress-line.ts'
import {
  objectId,
  remedies,
  type MigrateProgress,
  type MigrateReport,
  type RefusedObject,
} from './report.ts'
import type { StaleObjects } from './stale.ts'

/** What `latchkey etcd migrate` gets from the process. */
export interface MigrateDeps {
  readonly terminal: Terminal
  readonly client: KubernetesClient
  /** What etcd holds that is stale, when etcd was named. */
  readonly stale: StaleObjects | undefined
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/** Flags of `latchkey etcd migrate`. */
export interface MigrateFlags {
  readonly resources: readonly string[]
  readonly workers: number
  readonly rate: number | undefined
  readonly dryRun: boolean
  /** Objects, as `secrets/shop/db`, that may stay as they are. */
  readonly accept: readonly string[]
  readonly output: OutputFormat
}

/** Milliseconds between two showings of where it is. */
const showEveryMs = 200
/** … and between two events for automation. */
const tellEveryMs = 1_000

/**
 * `latchkey etcd migrate`: rewrites stale objects through the API server, and lists those that cannot
 * be rewritten.
 *
 * @returns Whether every refused object is one that was accepted by name.
 * @throws as {@link migrate}; `ERR_USAGE` for an accepted object of a resource that is not migrated.
 */
export async function etcdMigrate(deps: MigrateDeps, flags: MigrateFlags): Promise<boolean> {
  checkAccepted(flags)
  const { terminal, clock } = deps
  const json = flags.output === 'json'
  let shownAtMs = -Infinity
  const progress = (now: MigrateProgress): void => {
    if (!json && terminal.progress === undefined) return
    const atMs = clock.monotonicMs()
    if (atMs - shownAtMs < (json ? tellEveryMs : showEveryMs)) return
    shownAtMs = atMs
    if (json) terminal.data(JSON.stringify({ event: 'progress', ...now }))
    else terminal.progress?.(progressLine(now))
  }
  const { stale, ...rest } = deps
  let report: MigrateReport
  try {
    report = await migrate({
      ...rest,
      ...flags,
      ...(stale === undefined ? {} : { stale }),
      progress,
    })
  } finally {
    if (!json) terminal.progress?.('')
  }
  const refused = report.refused.map((object) => ({
    ...object,
    id: objectId(object),
    accepted: flags.accept.includes(objectId(object)),
    remedy: remedies[object.cause],
  }))
  if (json) {
    for (const object of refused) terminal.data(JSON.stringify({ event: 'refused', ...object }))
  }
  const value = { ...report, refused, dryRun: flags.dryRun }
  await print(terminal, {
    format: flags.output,
    value: json ? { event: 'report', ...value } : value,
    table: () => tableOf(report, flags),
  })
  if (flags.output === 'table') explain(terminal, refused)
  say(terminal, report, flags)
  return refused.every(({ accepted }) => accepted)
}

function checkAccepted({ accept, resources }: MigrateFlags): void {
  const stray = accept.find((id) => !resources.includes(id.split('/')[0] ?? ''))
  if (stray === undefined) return
  throw new LatchkeyError(
    'ERR_USAGE',
    '--accept names an object of a resource that is not migrated',
    {
      hint: 'write it as this command lists it: secrets/NAMESPACE/NAME',
    },
  )
}

function tableOf(report: MigrateReport, { dryRun }: MigrateFlags): readonly (readonly string[])[] {
  return [
    ['RESOURCE', 'OBJECTS', dryRun ? 'POSSIBLE' : 'REWRITTEN', 'UNCHANGED', 'GONE', 'REFUSED'],
    ...report.resources.map((it) =>
      [
        it.resource,
        // Of a rewrite that is only tried the API server does not tell whether it would have been one.
        ...(dryRun
          ? [it.listed, it.rewritten + it.unchanged, '-']
          : [it.listed, it.rewritten, it.unchanged]),
        it.gone,
        it.refused,
      ].map(String),
    ),
  ]
}

/** The refused objects by cause, each cause with its remedy. */
function explain(
  terminal: Terminal,
  refused: readonly (RefusedObject & { readonly id: string; readonly accepted: boolean })[],
): void {
  const causes = [...new Set(refused.map(({ cause }) => cause))].sort()
  for (const cause of causes) {
    const objects = refused.filter((object) => object.cause === cause)
    terminal.say('')
    terminal.say(`${cause}: ${objects.length} not rewritten. To mend it: ${remedies[cause]}.`)
    for (const { id, detail, accepted } of objects) {
      terminal.say(`  ${id}   ${detail}${accepted ? ' (accepted)' : ''}`)
    }
  }
}

function say(terminal: Terminal, report: MigrateReport, flags: MigrateFlags): void {
  const seconds = report.seconds.toFixed(1)
  if (flags.dryRun) {
    terminal.say(`Tried in ${seconds} s, and nothing was written.`)
  } else if (report.proved) {
    const but = report.refused.length === 0 ? '' : ' but what was refused'
    terminal.say(`Done in ${seconds} s: etcd was read again and holds nothing stale${but}.`)
  } else {
    terminal.say(
      `Done in ${seconds} s. Whether etcd still holds something stale: "latchkey etcd scan", or this command with --etcd.`,
    )
  }
}
