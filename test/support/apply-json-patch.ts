import { isDeepStrictEqual } from 'node:util'
import type { Json, JsonObject } from '../../src/injection/pod/json.ts'
import type { PatchOperation } from '../../src/webhook/inject/json-patch.ts'

interface TestOperation {
  readonly op: 'test'
  readonly path: string
  readonly value: Json
}

/** Applies a JSON patch (RFC 6902, section 4) as the API server does; throws where that would refuse. */
export function applyJsonPatch(
  document: Json,
  patch: readonly (PatchOperation | TestOperation)[],
): Json {
  const root = { value: structuredClone(document) }
  for (const operation of patch) {
    const parts = operation.path.split('/').slice(1).map(unescape)
    const last = parts.pop()
    if (operation.op === 'test') {
      const found = [...parts, last ?? ''].reduce<unknown>(
        (at, part) => (at as Record<string, unknown>)[part],
        root.value,
      )
      if (!isDeepStrictEqual(found, operation.value)) throw new Error(`${operation.path} differs`)
      continue
    }
    if (last === undefined) {
      if (operation.op === 'remove') throw new Error('the whole document cannot be removed')
      root.value = structuredClone(operation.value)
      continue
    }
    const parent = parts.reduce<unknown>((at, part) => {
      const next = (at as Record<string, unknown>)[part]
      if (next === undefined) throw new Error(`${operation.path} has no parent`)
      return next
    }, root.value)
    change(parent, last, operation)
  }
  return root.value
}

function change(parent: unknown, name: string, operation: PatchOperation): void {
  const exists = Object.hasOwn(parent as object, name)
  if (operation.op !== 'add' && !exists) throw new Error(`${operation.path} does not exist`)
  if (Array.isArray(parent)) {
    const list = parent as Json[]
    const index = Number(name)
    if (index > list.length) throw new Error(`${operation.path} is beyond the end`)
    if (operation.op === 'remove') list.splice(index, 1)
    else list.splice(index, operation.op === 'add' ? 0 : 1, structuredClone(operation.value))
    return
  }
  const object = parent as { -readonly [Key in keyof JsonObject]: JsonObject[Key] }
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a parsed document of a test
  if (operation.op === 'remove') delete object[name]
  else {
    // An assignment would take the field __proto__ for the prototype.
    const value = structuredClone(operation.value)
    const field = { value, writable: true, enumerable: true, configurable: true }
    Object.defineProperty(object, name, field)
  }
}

function unescape(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~')
}
