/** `value` if it is a YAML mapping, else an empty one: for reading files that others wrote. */
export function mapping(value: unknown): Readonly<Record<string, unknown>> {
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isMapping ? (value as Record<string, unknown>) : {}
}

/** `value` if it is a YAML sequence, else an empty one. */
export function sequence(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
