import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import type { AnchoredDirectory } from './anchored-directory.ts'
import {
  compareWithPublished,
  repairAccess,
  repairDirectoryMode,
  repairGeneration,
} from './compare.ts'
import { fileError } from './file-error.ts'
import type { Difference, WantedSet } from './compare.ts'
import type { FileOperations } from './file-operations.ts'
import { readFoundFile, removeTree } from './files.ts'
import type { Access } from './files.ts'
import {
  directoryAccess,
  generationName,
  generationNumbers,
  manifestOf,
  openGeneration,
  publishedNumber,
  writeGeneration,
} from './generation.ts'
import type { NewGeneration, SetFile } from './generation.ts'
import { removeOtherNames, repairNames, switchTo, temporaryLink } from './links.ts'
import type { Manifest } from './manifest.ts'
import { openTarget } from './walk.ts'
import type { TargetPlace } from './walk.ts'
import { withdrawFrom } from './withdraw.ts'

/** What a publication came to. */
export interface Publication {
  /** Whether a new generation was switched to. */
  readonly published: boolean
  /** The entries whose files changed; empty when nothing was published, or nothing but other modes. */
  readonly changed: ReadonlySet<number>
  /** Whether something was put right that nobody but the sidecar should have touched. */
  readonly repaired: boolean
}

/** What a publication is told besides its files. */
export interface PublishOptions {
  readonly beforeSwitch?: (changed: ReadonlySet<number>) => void
  readonly empty?: readonly number[]
}

/** What is left of what was published. */
export interface Verification {
  /** `undefined` when there is no set of this plan that is whole. */
  readonly manifest: Manifest | undefined
  /** Whether something was put right. */
  readonly repaired: boolean
}

/** A target directory and what it is for. */
export interface PublisherOptions extends TargetPlace {
  /** Digest of the plan; a generation made for another plan is replaced and never adopted. */
  readonly plan: string
  readonly operations: FileOperations
}

/**
 * Publishes sets of files in one directory, as Kubernetes' AtomicWriter lays them out:
 *
 * ```
 * ..gen-7/            a generation: its files, ..version, ..set
 * ..data -> ..gen-7   renamed into place: the one atomic step
 * password -> ..data/password
 * ..version -> ..data/..version
 * ```
 *
 * A reader that resolves `..data` once sees one set. The generation before stays until
 * {@link DirectoryPublisher.dropPrevious}, for readers that still hold it. There must be one
 * publisher per directory at a time. Every method throws `ERR_DISK_FULL`, `ERR_READ_ONLY`,
 * `ERR_TARGET_UNSAFE`, `ERR_TARGET_OWNER` or `ERR_IO`, and then the set that was published still is.
 */
export class DirectoryPublisher {
  readonly #options: PublisherOptions

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Path of the directory as the containers see it. */
  get path(): string {
    return this.#options.path
  }

  /**
   * Takes over what an earlier process published: clears the leavings of a crash and verifies. As
   * {@link DirectoryPublisher.verify}.
   */
  adopt(): Verification {
    return this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#options, { operations })
      if (directory === undefined) return { manifest: undefined, repaired: false }
      this.#sweep(directory, [publishedNumber(directory, operations)])
      return this.#verify(directory)
    })
  }

  /**
   * Looks whether what was published is still there, and repairs links, modes and groups. Content is
   * looked at when a set is published, sizes here.
   */
  verify(): Verification {
    return this.#guard(() => {
      using directory = openTarget(this.#options, { operations: this.#options.operations })
      if (directory === undefined) return { manifest: undefined, repaired: false }
      return this.#verify(directory)
    })
  }

  /** What is published for this plan, if anything is. */
  published(): Manifest | undefined {
    return this.#guard(() => {
      using directory = openTarget(this.#options, { operations: this.#options.operations })
      using published = directory && this.#open(directory)
      return published?.manifest
    })
  }

  /** The published files of an entry, to carry over into the next set. The caller wipes them. */
  carryOver(entry: number, access: Access): readonly SetFile[] {
    return this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#options, { operations })
      using published = directory && this.#open(directory)
      if (published === undefined) return []
      const { generation, manifest } = published
      return manifest.files
        .filter((file) => file.entry === entry)
        .flatMap(({ name }) => {
          const found = readFoundFile(generation, name, operations)
          return found === undefined ? [] : [{ ...access, name, bytes: found.bytes, entry }]
        })
    })
  }

  /**
   * Makes the directory hold exactly `files`. `beforeSwitch` is told what is about to change when
   * all is written and nothing is visible; what it throws keeps the old set. `empty` are the entries
   * that are published without any file.
   */
  publish(files: readonly SetFile[], options: PublishOptions = {}): Publication {
    return this.#guard(() => {
      const { operations, plan } = this.#options
      const { beforeSwitch = () => undefined, empty = [] } = options
      const set = { files, empty }
      const create = directoryAccess(files)
      using directory = openTarget(this.#options, { operations, create })
      if (directory === undefined) throw new LatchkeyError('ERR_IO', 'the directory is gone')
      const names = files.map(({ name }) => name)
      const difference = this.#compare(directory, set)
      if (difference?.same === true) {
        const renamed = repairNames(directory, names, operations)
        removeOtherNames(directory, names, operations)
        const repaired = renamed || difference.repaired
        return { published: false, changed: difference.entries, repaired }
      }
      const current = publishedNumber(directory, operations)
      const number = (generationNumbers(directory.list()).at(-1) ?? 0) + 1
      const changed = difference?.entries ?? new Set(files.map(({ entry }) => entry))
      this.#write(directory, { number, plan, ...set }, current)
      try {
        beforeSwitch(changed)
        switchTo(directory, number, operations)
      } catch (error) {
        this.#discard(directory, number)
        throw error
      }
      repairNames(directory, names, operations)
      removeOtherNames(directory, names, operations)
      this.#sweep(directory, [number, current])
      return { published: true, changed, repaired: false }
    })
  }

  /**
   * Takes files away from every generation and from sight: after a set without them was published,
   * so that the one before gives them to nobody, and also when no set can be published, since it
   * needs no space. Returns whether there were any; `before` is called before the first one goes.
   */
  withdraw(isGone: (name: string) => boolean, before: () => void = () => undefined): boolean {
    return this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#options, { operations })
      if (directory === undefined) return false
      return withdrawFrom(directory, isGone, { operations, before })
    })
  }

  /** Removes every generation but the published one. */
  dropPrevious(): void {
    this.#guard(() => {
      const { operations } = this.#options
      using directory = openTarget(this.#options, { operations })
      if (directory === undefined) return
      this.#sweep(directory, [publishedNumber(directory, operations)])
    })
  }

  #write(directory: AnchoredDirectory, set: NewGeneration, current: number | undefined): void {
    const { operations } = this.#options
    try {
      writeGeneration(directory, set, operations)
    } catch (error) {
      if (!isLatchkeyError(fileError(error, this.path), 'ERR_DISK_FULL')) throw error
      // Readers of the generation before the current one lose their grace before the new set is lost.
      this.#sweep(directory, [current])
      writeGeneration(directory, set, operations)
    }
  }

  #compare(
    directory: AnchoredDirectory,
    set: WantedSet,
  ): (Omit<Difference, 'access'> & { readonly repaired: boolean }) | undefined {
    const { operations } = this.#options
    using published = this.#open(directory)
    if (published === undefined) return undefined
    const { access, ...difference } = compareWithPublished(published, set, operations)
    if (!difference.same) return { ...difference, repaired: false }
    const opened = repairDirectoryMode(published.generation, set.files)
    repairAccess(published.generation, access, operations)
    return { ...difference, repaired: opened || access.length > 0 }
  }

  /** Takes a generation away that was written and could not be switched to. */
  #discard(directory: AnchoredDirectory, number: number): void {
    const { operations } = this.#options
    try {
      if (publishedNumber(directory, operations) === number) return
      removeTree(directory, generationName(number), operations)
    } catch {
      // What stopped the publication is what is told; the next one sweeps the remains.
    }
  }

  /** Opens the published generation, if it is one of this plan. */
  #open(directory: AnchoredDirectory): OpenGeneration | undefined {
    const { operations, plan } = this.#options
    const number = publishedNumber(directory, operations)
    using opened = new DisposableStack()
    const generation = opened.use(
      number === undefined ? undefined : openGeneration(directory, number),
    )
    const manifest = generation && manifestOf(generation, operations)
    if (generation === undefined || manifest?.plan !== plan) return undefined
    const kept = opened.move()
    return {
      generation,
      manifest,
      [Symbol.dispose]: () => {
        kept.dispose()
      },
    }
  }

  #verify(directory: AnchoredDirectory): Verification {
    const { operations } = this.#options
    using published = this.#open(directory)
    if (published === undefined) return { manifest: undefined, repaired: false }
    const { generation, manifest } = published
    const repaired = repairGeneration(generation, manifest.files, operations)
    if (repaired === undefined) return { manifest: undefined, repaired: false }
    const names = manifest.files.map(({ name }) => name)
    const renamed = repairNames(directory, names, operations)
    removeOtherNames(directory, names, operations)
    return { manifest, repaired: repaired || renamed }
  }

  /** Removes every generation whose number is not in `keep`, and what a crash left. */
  #sweep(directory: AnchoredDirectory, keep: readonly (number | undefined)[]): void {
    const { operations } = this.#options
    for (const number of generationNumbers(directory.list())) {
      if (!keep.includes(number)) removeTree(directory, generationName(number), operations)
    }
    removeTree(directory, temporaryLink, operations)
  }

  #guard<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw fileError(error, this.path)
    }
  }
}

interface OpenGeneration extends Disposable {
  readonly generation: AnchoredDirectory
  readonly manifest: Manifest
}
