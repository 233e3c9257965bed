import { LineCounter, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml'
import type { Pair, ParsedNode } from 'yaml'
import type { Problem } from './problem.ts'
import type { MapField, Place, Tree } from './tree.ts'

/**
 * Reads YAML text into a {@link Tree}.
 *
 * Only what a list of plain values needs: one document, YAML 1.2's core schema, no anchors, aliases,
 * tags or merge keys. Aliases are never resolved, so none can multiply.
 */
export function readYaml(text: string): { readonly tree?: Tree; readonly problems: Problem[] } {
  const lines = new LineCounter()
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
  const problems: Problem[] = []
  const report = (offset: number, problem: string, fix: string): void => {
    problems.push({ place: placeAt(offset), entry: undefined, field: undefined, problem, fix })
  }
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    uniqueKeys: false,
    logLevel: 'silent',
  })
  const [document, second] = documents
  if (document === undefined) return { problems: [emptyList] }
  // The first error explains the text; those after it mostly follow from it.
  const error = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])[0]
  if (error !== undefined) {
    report(error.pos[0], `is not YAML: ${firstSentence(error.message)}`, 'correct the syntax there')
    return { problems }
  }
  if (second !== undefined) {
    report(second.range[0], 'a second document starts here', 'keep one list in one document')
    return { problems }
  }
  if (document.contents === null) return { problems: [emptyList] }
  const tree = build(document.contents, { placeAt, report })
  return problems.length > 0 || tree === undefined ? { problems } : { tree, problems }
}

/** The problem of a text without any entry. */
export const emptyList: Problem = {
  place: { line: 1, column: 1 },
  entry: undefined,
  field: undefined,
  problem: 'expected a list of entries, got nothing',
  fix: 'write at least one entry that starts with "- secret: NAME"',
}

interface Builder {
  readonly placeAt: (offset: number) => Place
  readonly report: (offset: number, problem: string, fix: string) => void
}

/** Entries hold at most a mapping of scalars; what is deeper cannot be right and is not walked. */
const maxDepth = 6

function build(node: ParsedNode, builder: Builder, depth = 0): Tree | undefined {
  const offset = node.range[0]
  if (isAlias(node)) {
    builder.report(offset, 'aliases are not supported', 'write the value out')
    return undefined
  }
  if (node.anchor !== undefined) {
    builder.report(offset, 'anchors are not supported', 'remove the & and its name')
    return undefined
  }
  if (node.tag !== undefined) {
    builder.report(offset, 'tags are not supported', 'remove the ! and its name')
    return undefined
  }
  if (depth > maxDepth) {
    builder.report(offset, 'is nested too deeply', 'write a flat list of entries')
    return undefined
  }
  const place = builder.placeAt(offset)
  if (isSeq(node)) {
    const items = node.items.map((item) => build(item, builder, depth + 1))
    return { kind: 'list', items: items.filter((item) => item !== undefined), place }
  }
  if (isMap(node)) {
    const fields = node.items.map((pair) => buildField(pair, builder, depth))
    return { kind: 'map', fields: fields.filter((field) => field !== undefined), place }
  }
  return buildScalar(node, place)
}

function buildField(
  pair: Pair<ParsedNode, ParsedNode | null>,
  builder: Builder,
  depth: number,
): MapField | undefined {
  const key = pair.key
  if (!isScalar(key) || key.anchor !== undefined) {
    builder.report(key.range[0], 'a field name must be plain text', 'write NAME: value')
    return undefined
  }
  const place = builder.placeAt(key.range[0])
  const name = typeof key.value === 'string' ? key.value : key.source
  if (pair.value === null) {
    return { name, place, value: { kind: 'other', source: '', value: null, place } }
  }
  const value = build(pair.value, builder, depth + 1)
  return value === undefined ? undefined : { name, place, value }
}

function buildScalar(node: ParsedNode, place: Place): Tree {
  if (!isScalar(node)) throw new TypeError('a YAML node is none of alias, list, mapping and scalar')
  const value: unknown = node.value
  if (typeof value === 'string') return { kind: 'text', value, place }
  const source = typeof node.source === 'string' ? node.source : ''
  if (typeof value === 'number' || typeof value === 'boolean') {
    return { kind: 'other', source, value, place }
  }
  return { kind: 'other', source: '', value: null, place }
}

function firstSentence(message: string): string {
  return message.split('\n', 1)[0]?.replace(/[.:]$/, '') ?? ''
}
