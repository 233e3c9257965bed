import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import { effectiveMode } from '../../injection/plan.ts'
import { nameOf, parentOf } from '../../injection/paths.ts'
import { DirectoryPublisher } from '../publish/directory-publisher.ts'
import type { Publication } from '../publish/directory-publisher.ts'
import type { SetFile } from '../publish/generation.ts'
import type { ManifestFile } from '../publish/manifest.ts'
import type { Decision } from './decide.ts'
import { noteHooks, skipped } from './target.ts'
import type { Applied, IndexedEntry, Inspection, Target, TargetOptions } from './target.ts'

/** A directory that is published as one set. */
export function directoryTarget(
  path: string,
  entries: readonly IndexedEntry[],
  options: TargetOptions,
): Target {
  const { root, plan, operations, journal } = options
  const publisher = new DirectoryPublisher({ root, path, plan, operations })
  const inspect = (files: readonly ManifestFile[] | undefined, repaired: boolean): Inspection => {
    if (files === undefined) return { whole: [], repaired }
    const present = new Set(files.map(({ entry }) => entry))
    // A secret without keys is whole without files.
    const whole = entries.filter(
      ({ index, entry }) =>
        present.has(index) || (entry.content.kind === 'files' && journal.state.started),
    )
    return { whole: whole.map(({ index }) => index), repaired }
  }
  return {
    path,
    entries,
    adopt: () => {
      const { manifest, repaired } = publisher.adopt()
      return inspect(manifest?.files, repaired)
    },
    verify: () => {
      const { manifest, repaired } = publisher.verify()
      return inspect(manifest?.files, repaired)
    },
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
  const removing = decisions.some(({ kind }) => kind === 'remove')
  const held = decisions.find((decision) => decision.kind === 'hold')
  // A set is a set: one file that cannot be made keeps the others from changing without it.
  if (held !== undefined && !removing) return skipped
  let before: readonly ManifestFile[]
  const carried: SetFile[] = []
  try {
    before = publisher.published()
    const files = collect(publisher, application, carried)
    if (files === undefined) return skipped
    const collision = findCollision(publisher.path, files, entries)
    if (collision !== undefined) return { ...skipped, failure: collision }
    if (before.length === 0 && files.length === 0 && !fillsItself(entries)) return skipped
    return publishAndWithdraw(publisher, { ...application, before, files })
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
    return { ...skipped, failure: error }
  } finally {
    for (const { bytes } of carried) bytes[Symbol.dispose]()
  }
}

/** Whether a directory without any file can be a published set: of a secret without keys. */
function fillsItself(entries: readonly IndexedEntry[]): boolean {
  return entries.some(({ entry }) => entry.content.kind === 'files')
}

/**
 * The files of the next set; `undefined` while something is missing that was never there and about
 * which nothing is decided yet: a first set is complete or it waits.
 */
function collect(
  publisher: DirectoryPublisher,
  { entries, decisions, options }: Application,
  carried: SetFile[],
): readonly SetFile[] | undefined {
  const files: SetFile[] = []
  for (const [position, { index, entry }] of entries.entries()) {
    const access = { mode: effectiveMode(entry), group: entry.group }
    const decision = decisions[position]
    switch (decision?.kind) {
      case 'publish':
        files.push(...decision.files.map((file) => ({ ...access, ...file, entry: index })))
        break
      case 'remove':
        break
      case 'retain':
      case 'hold':
      case undefined: {
        const kept = publisher.carryOver(index, access)
        carried.push(...kept)
        if (kept.length === 0 && !options.journal.state.started) return undefined
        files.push(...kept)
      }
    }
  }
  return files
}

function publishAndWithdraw(
  publisher: DirectoryPublisher,
  application: Application & {
    readonly before: readonly ManifestFile[]
    readonly files: readonly SetFile[]
  },
): Applied {
  const { entries, decisions, options, before, files } = application
  const removed = new Set(
    entries.filter((_, position) => decisions[position]?.kind === 'remove').map((it) => it.index),
  )
  const withdrawn = before.filter(({ entry }) => removed.has(entry))
  let publication: Publication | undefined
  let failure: LatchkeyError | undefined
  try {
    publication = publisher.publish(files, (changed) => {
      noteHooks(changed, entries, options.journal)
    })
  } catch (error) {
    if (!isLatchkeyError(error)) throw error
    failure = error
  }
  if (withdrawn.length > 0) {
    try {
      const gone = new Set(withdrawn.map(({ entry }) => entry))
      if (failure !== undefined) noteHooks(gone, entries, options.journal)
    } finally {
      // Whatever else cannot be written: what may not be there goes.
      publisher.withdraw(withdrawn.map(({ name }) => name))
    }
  }
  return {
    skipped: false,
    published: publication?.published === true || withdrawn.length > 0,
    repaired: publication?.repaired === true,
    waiting: [],
    failure,
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
