import { nameOf, isWithin, parentOf } from '../paths.ts'
import type { MountEntry } from '../plan.ts'
import { targetsOf } from '../targets.ts'
import type { ConsumedEntry } from './owner.ts'
import { findingAt } from './entry-finding.ts'
import type { PlacedFinding } from './entry-finding.ts'

/** One volume in memory, and where containers see it or a file of it. */
export interface FileVolume {
  /** The directory that it is in the containers, and below the sidecar's root in the sidecar. */
  readonly directory: string
  /** How many entries fill it. */
  readonly entryCount: number
  /** In order of the containers, then of the entries. */
  readonly mounts: readonly FileMount[]
}

/** What one container sees of a volume. */
export interface FileMount {
  readonly container: string
  readonly path: string
  /** The one file of the volume that is mounted, or `undefined` for all of it. */
  readonly subPath: string | undefined
}

/** The volumes of a plan: one for each target directory, one for each directory with bound files. */
export function fileVolumes(consumed: readonly ConsumedEntry[]): readonly FileVolume[] {
  const consumersOf = new Map(consumed.map(({ entry, consumers }) => [entry, consumers]))
  const containersOf = (entry: MountEntry | undefined): readonly string[] =>
    (entry === undefined ? undefined : consumersOf.get(entry))?.map(({ name }) => name) ?? []
  const { directories, boundFiles } = targetsOf({ entries: consumed.map(({ entry }) => entry) })
  const whole = directories.map(({ path, entries }): FileVolume => ({
    directory: path,
    entryCount: entries.length,
    mounts: containersOf(entries[0]).map((container) => ({
      container,
      path,
      subPath: undefined,
    })),
  }))
  const bound = [...Map.groupBy(boundFiles, ({ path }) => parentOf(path))].map(
    ([directory, entries]): FileVolume => ({
      directory,
      entryCount: entries.length,
      mounts: entries.flatMap((entry) =>
        containersOf(entry).map((container) => ({
          container,
          path: entry.path,
          subPath: nameOf(entry.path),
        })),
      ),
    }),
  )
  return [...whole, ...bound]
}

/** Where an entry's target collides with a volume that a container already mounts. */
export function mountConflicts(consumed: readonly ConsumedEntry[]): readonly PlacedFinding[] {
  const findings: PlacedFinding[] = []
  consumed.forEach(({ entry, consumers }, index) => {
    const target = targetPath(entry)
    for (const { name, mountPaths } of consumers) {
      const taken = mountPaths.find((path) => isWithin(path, target))
      if (taken === undefined) continue
      findings.push(
        findingAt(index, 'path', {
          problem:
            taken === target
              ? `is where container ${name} already mounts a volume`
              : `holds ${taken}, where container ${name} mounts a volume, which cannot be below a read-only one`,
          fix: 'choose another path, or remove that volumeMount',
        }),
      )
      break
    }
  })
  return findings
}

/** The volume mount of a container that encloses the entry's own, if there is one. */
export function enclosingMount({
  entry,
  consumers,
}: ConsumedEntry): { readonly container: string; readonly path: string } | undefined {
  const target = targetPath(entry)
  for (const { name, mountPaths } of consumers) {
    const path = mountPaths.find((each) => each !== target && isWithin(target, each))
    if (path !== undefined) return { container: name, path }
  }
  return undefined
}

/** What of an entry becomes a mount point. */
function targetPath(entry: MountEntry): string {
  return entry.mount.kind === 'file' || entry.content.kind === 'files'
    ? entry.path
    : parentOf(entry.path)
}
