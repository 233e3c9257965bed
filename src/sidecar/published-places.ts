import type { StateDirectory } from './state-directory.ts'

/** A directory in which was published, below a root, and the digests of the plans for which it was. */
export interface PublishedPlace {
  readonly root: string
  readonly path: string
  readonly plans: readonly string[]
}

const documentName = 'published.json'
/** Plans that are remembered of a directory: those before have long been replaced in it. */
const maxPlans = 16

/**
 * The directories in which was published, whatever plan said so: of what a plan no longer names,
 * nothing else would know. What is broken counts as nothing, and then nothing is taken away.
 */
export class PublishedPlaces {
  readonly #directory: StateDirectory
  #places: readonly PublishedPlace[]

  /** Reads what an earlier process noted. Throws `ERR_IO`. */
  constructor(directory: StateDirectory) {
    this.#directory = directory
    this.#places = readPlaces(directory.read(documentName))
  }

  get all(): readonly PublishedPlace[] {
    return this.#places
  }

  /** Notes a directory, before anything is in it. Throws `ERR_IO`, `ERR_DISK_FULL`. */
  note(root: string, path: string, plan: string): void {
    const found = this.#places.find((it) => it.root === root && it.path === path)
    if (found?.plans.includes(plan) === true) return
    const plans = [...(found?.plans ?? []), plan].slice(-maxPlans)
    this.#write([...this.#places.filter((it) => it !== found), { root, path, plans }])
  }

  /** Notes that nothing is left in `place`. Throws as {@link PublishedPlaces.note}. */
  forget(place: PublishedPlace): void {
    this.#write(this.#places.filter((it) => it !== place))
  }

  #write(places: readonly PublishedPlace[]): void {
    const document = { format: 1, places }
    this.#directory.write(documentName, `${JSON.stringify(document)}\n`)
    this.#places = places
  }
}

function readPlaces(text: string | undefined): readonly PublishedPlace[] {
  try {
    const document = JSON.parse(text ?? '') as { format?: unknown; places?: unknown } | null
    const places = document?.format === 1 ? document.places : undefined
    return Array.isArray(places) && places.every(isPlace) ? places : []
  } catch {
    return []
  }
}

function isPlace(value: unknown): value is PublishedPlace {
  if (typeof value !== 'object' || value === null) return false
  const { root, path, plans } = value as Readonly<Record<string, unknown>>
  return (
    typeof root === 'string' &&
    typeof path === 'string' &&
    /^(\/[^/\0]+)+$/.test(path) &&
    !path.split('/').some((name) => name === '.' || name === '..') &&
    Array.isArray(plans) &&
    plans.every((plan) => typeof plan === 'string')
  )
}
