import type { Tree } from './tree.ts'

const start = { line: 1, column: 1 }

/**
 * The tree of a JSON text, all of it placed at line 1; `undefined` when `text` is not JSON. Reading a
 * canonical plan this way spares a running pod the YAML parser and its memory.
 */
export function readJson(text: string): Tree | undefined {
  try {
    return treeOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

function treeOf(value: unknown): Tree {
  if (typeof value === 'string') return { kind: 'text', value, place: start }
  if (Array.isArray(value)) return { kind: 'list', items: value.map(treeOf), place: start }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, each]) => ({
      name,
      place: start,
      value: treeOf(each),
    }))
    return { kind: 'map', fields, place: start }
  }
  const scalar = typeof value === 'number' || typeof value === 'boolean' ? value : null
  return {
    kind: 'other',
    source: scalar === null ? '' : String(scalar),
    value: scalar,
    place: start,
  }
}
