/** A value from JSON or YAML that nobody has checked. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject

/** A mapping of such values. */
export interface JsonObject {
  readonly [name: string]: Json | undefined
}

/** `value` if it is a mapping, else an empty one: for reading objects that others wrote. */
export function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

/** Whether `value` is a mapping. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `value` if it is a list, else an empty one. */
export function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : []
}

/** The mappings in a list. */
export function objectsOf(value: Json | undefined): readonly JsonObject[] {
  return listOf(value).filter(isObject)
}

/** `value` if it is text. */
export function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** `value` if it is a whole number from 0 up, as user and group ids are. */
export function idOf(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined
}
