/** A JSON object as it came: every member is yet to be checked. */
export type JsonObject = Readonly<Record<string, unknown>>

/** `value` if it is a JSON object, otherwise an empty one: what is missing then reads as missing. */
export function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : {}
}

/** The member `name` if it is text, otherwise `''`. */
export function textOf(object: JsonObject, name: string): string {
  const value = object[name]
  return typeof value === 'string' ? value : ''
}

/** The member `name` if it is a list, otherwise an empty one. */
export function listOf(object: JsonObject, name: string): readonly unknown[] {
  const value = object[name]
  return Array.isArray(value) ? (value as readonly unknown[]) : []
}

/** The texts in the list that is the member `name`. */
export function textsOf(object: JsonObject, name: string): readonly string[] {
  return listOf(object, name).filter((value) => typeof value === 'string')
}

/** What names an object. */
export interface ObjectMeta {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Opaque, but for equality (KEP-5504 orders them, for newer servers only). */
  readonly resourceVersion: string
}

/** The metadata of an API object. */
export function metaOf(object: unknown): ObjectMeta {
  const meta = objectOf(objectOf(object)['metadata'])
  return {
    namespace: textOf(meta, 'namespace'),
    name: textOf(meta, 'name'),
    uid: textOf(meta, 'uid'),
    resourceVersion: textOf(meta, 'resourceVersion'),
  }
}
