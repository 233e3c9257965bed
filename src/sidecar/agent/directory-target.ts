import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import { effectiveMode } from '../../injection/plan.ts'
import { nameOf, parentOf } from '../../injection/paths.ts'
import { DirectoryPublisher } from '../publish/directory-publisher.ts'
import type { Verification } from '../publish/directory-publisher.ts'
import type { SetFile } from '../publish/generation.ts'
import type { Manifest } from '../publish/manifest.ts'
import type { Decision } from './decide.ts'
import { noteHooks, skipped } from './target.ts'
import type { Applied, IndexedEntry, Inspection, Target, TargetOptions } from './target.ts'

/** A directory that is published as one set. */
export function directoryTarget(
  path: string,
  entries: readonly IndexedEntry[],
  options: TargetOptions,
): Target {
  const { root, plan, operations } = options
  const publisher = new DirectoryPublisher({ root, path, plan, operations })
  const inspect = ({ manifest, repaired }: Verification): Inspection => {
    if (manifest === undefined) return { whole: [], repaired }
    const present = new Set([...manifest.files.map(({ entry }) => entry), ...manifest.empty])
    const whole = entries.filter(({ index }) => present.has(index))
    return { whole: whole.map(({ index }) => index), repaired }
  }
  return {
    path,
    entries,
    adopt: () => {
      const verification = publisher.adopt()
      // An earlier release may have published it, which noted nothing.
      if (verification.manifest !== undefined) options.notePlace(path)
      return inspect(verification)
    },
    verify: () => inspect(publisher.verify()),
    apply: (decisions) => apply(publisher, { entries, decisions, options }),
    dropPrevious: () => {
      publisher.dropPrevious()
    },
  }
}

interface Application {
  readonly entries: readonly IndexedEntry[]
  readonly decisions: readonly Decision[]
  readonly options: TargetOptions
}

function apply(publisher: DirectoryPublisher, application: Application): Applied {
  const { entries, decisions } = application
  const removed = entries.filter((_, position) => decisions[position]?.kind === 'remove')
  const held = decisions.some(({ kind }) => kind === 'hold')
  // A set is a set: one file that cannot be made keeps the others from changing without it.
  if (held && removed.length === 0) return skipped
  const applied = publish(publisher, application)
  return removed.length === 0 ? applied : withdraw(publisher, { ...application, removed, applied })
}

function publish(publisher: DirectoryPublisher, application: Application): Applied {
  const { entries, options } = application
  const carried: SetFile[] = []
  try {
    const before = publisher.published()
    const set = collect(publisher, { ...application, before }, carried)
    if (set === undefined) return skipped
    const collision = findCollision(publisher.path, set.files, entries)
    if (collision !== undefined) return { ...skipped, failure: collision }
    if (isNothing(set) && (before === undefined || isNothing(before))) return skipped
    options.notePlace(publisher.path)
    const { published, repaired } = publisher.publish(set.files, {
      empty: set.empty,
      beforeSwitch: (changed) => {
        noteHooks(changed, entries, options.journal)
      },
    })
    return { skipped: false, published, repaired, waiting: [], failure: undefined }
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
    return { ...skipped, skipped: false, failure: error }
  } finally {
    for (const { bytes } of carried) bytes[Symbol.dispose]()
  }
}

interface NextSet {
  readonly files: readonly SetFile[]
  readonly empty: readonly number[]
}

function isNothing(set: {
  readonly files: readonly unknown[]
  readonly empty: readonly number[]
}): boolean {
  return set.files.length === 0 && set.empty.length === 0
}

/**
 * The files of the next set; `undefined` while something is missing that was never there and about
 * which nothing is decided yet: a first set is complete or it waits.
 */
function collect(
  publisher: DirectoryPublisher,
  { entries, decisions, options, before }: Application & { readonly before: Manifest | undefined },
  carried: SetFile[],
): NextSet | undefined {
  const files: SetFile[] = []
  const empty: number[] = []
  for (const [position, { index, entry }] of entries.entries()) {
    const access = { mode: effectiveMode(entry), group: entry.group }
    const decision = decisions[position]
    switch (decision?.kind) {
      case 'publish':
        if (decision.files.length === 0) empty.push(index)
        files.push(...decision.files.map((file) => ({ ...access, ...file, entry: index })))
        break
      case 'remove':
        break
      case 'retain':
      case 'hold':
      case undefined: {
        if (before?.empty.includes(index) === true) {
          empty.push(index)
          break
        }
        const kept = publisher.carryOver(index, access)
        carried.push(...kept)
        if (kept.length === 0 && !options.journal.state.started) return undefined
        files.push(...kept)
      }
    }
  }
  return { files, empty }
}

/**
 * Takes away what may not be there: from the generation before, and where no set without it could be
 * published. By name, so that nothing stays that was published for another plan.
 */
function withdraw(
  publisher: DirectoryPublisher,
  {
    entries,
    options,
    removed,
    applied,
  }: Application & { readonly removed: readonly IndexedEntry[]; readonly applied: Applied },
): Applied {
  const isGone = (name: string): boolean =>
    removed.some(({ entry }) => entry.content.kind === 'files' || nameOf(entry.path) === name)
  try {
    const found = publisher.withdraw(isGone, () => {
      if (applied.published) return
      const gone = removed.map(({ index }) => index)
      noteHooks(gone, entries, options.journal)
    })
    return { ...applied, published: applied.published || found }
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
    return { ...applied, failure: applied.failure ?? error }
  }
}

/** Two files of one name: keys of a secret are not known before they come. */
function findCollision(
  directory: string,
  files: readonly SetFile[],
  entries: readonly IndexedEntry[],
): LatchkeyError | undefined {
  const names = new Set<string>()
  for (const { entry } of entries) {
    const hook = entry.onChange
    if (hook?.kind === 'touch' && parentOf(hook.path) === directory) names.add(nameOf(hook.path))
  }
  for (const { name } of files) {
    if (names.has(name)) {
      return new LatchkeyError('ERR_NOT_RENDERABLE', `${directory} would hold ${name} twice`, {
        hint: 'rename the file that onChange touches',
      })
    }
    names.add(name)
  }
  return undefined
}
