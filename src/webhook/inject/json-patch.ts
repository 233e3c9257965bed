import { isDeepStrictEqual } from 'node:util'
import { isObject, type Json, type JsonObject } from '../../injection/pod/json.ts'

/** One operation of a JSON patch (RFC 6902), of the kinds that are needed here. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string }

/**
 * The operations that make `to` of `from`, in a fixed order; none when they are equal.
 *
 * Lists whose items have a `name`, as Kubernetes' lists of containers, volumes and variables do, are
 * compared by it, so that one container more is one operation.
 */
export function diffJson(from: Json, to: Json): readonly PatchOperation[] {
  const operations: PatchOperation[] = []
  diffAt('', { from, to, operations })
  return operations
}

interface Difference {
  readonly from: Json
  readonly to: Json
  readonly operations: PatchOperation[]
}

function diffAt(path: string, { from, to, operations }: Difference): void {
  if (isDeepStrictEqual(from, to)) return
  if (isObject(from) && isObject(to)) {
    diffObjects(path, { from, to, operations })
    return
  }
  const before = namedItems(from)
  const after = namedItems(to)
  if (before !== undefined && after !== undefined) {
    diffLists(path, { from: before, to: after, operations })
    return
  }
  operations.push({ op: 'replace', path, value: to })
}

function diffObjects(
  path: string,
  change: {
    readonly from: JsonObject
    readonly to: JsonObject
    readonly operations: PatchOperation[]
  },
): void {
  const { from, to, operations } = change
  for (const name of Object.keys(from)) {
    if (ownValue(to, name) === undefined)
      operations.push({ op: 'remove', path: `${path}/${escape(name)}` })
  }
  for (const [name, value] of Object.entries(to)) {
    if (value === undefined) continue
    const at = `${path}/${escape(name)}`
    const before = ownValue(from, name)
    if (before === undefined) operations.push({ op: 'add', path: at, value })
    else diffAt(at, { from: before, to: value, operations })
  }
}

/** A field's value; what every object inherits, such as `constructor`, is none. */
function ownValue(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

interface NamedItem {
  readonly name: string
  readonly value: Json
}

function diffLists(
  path: string,
  change: {
    readonly from: readonly NamedItem[]
    readonly to: readonly NamedItem[]
    readonly operations: PatchOperation[]
  },
): void {
  const { to, operations } = change
  const wanted = new Set(to.map(({ name }) => name))
  const current = [...change.from]
  for (let index = current.length - 1; index >= 0; index -= 1) {
    if (wanted.has(current[index]?.name ?? '')) continue
    operations.push({ op: 'remove', path: `${path}/${index}` })
    current.splice(index, 1)
  }
  to.forEach((item, index) => {
    const at = `${path}/${index}`
    const found = current.findIndex(({ name }) => name === item.name)
    if (found !== index) {
      if (found > index) {
        operations.push({ op: 'remove', path: `${path}/${found}` })
        current.splice(found, 1)
      }
      operations.push({ op: 'add', path: at, value: item.value })
      current.splice(index, 0, item)
      return
    }
    diffAt(at, { from: current[index]?.value ?? null, to: item.value, operations })
  })
}

/** The items of a list of mappings that all have names, each its own; `undefined` for any other value. */
function namedItems(value: Json): readonly NamedItem[] | undefined {
  if (!Array.isArray(value)) return undefined
  const items: NamedItem[] = []
  for (const item of value as readonly Json[]) {
    const name = isObject(item) ? nameOf(item) : undefined
    if (name === undefined) return undefined
    items.push({ name, value: item })
  }
  return new Set(items.map(({ name }) => name)).size === items.length ? items : undefined
}

/** Mounts of one volume differ by their path, so that is their name. */
function nameOf({ name, mountPath }: JsonObject): string | undefined {
  if (typeof mountPath === 'string') return mountPath
  return typeof name === 'string' ? name : undefined
}

function escape(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
