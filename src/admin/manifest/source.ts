import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, Scalar } from 'yaml'
import type { Alias, Document, Node, YAMLMap } from 'yaml'
import type { Json } from '../../injection/pod/json.ts'

/** A line of a manifest with what is wrong there. */
export interface ManifestProblem {
  readonly line: number
  readonly problem: string
  readonly fix: string
}

/** The parsed text of a manifest file: YAML or JSON, with any number of documents. */
export interface ManifestSource {
  readonly documents: readonly ManifestDocument[]
  readonly problems: readonly ManifestProblem[]
}

/** One document of a manifest file. */
export interface ManifestDocument {
  readonly root: YAMLMap
  /** The line, from 1, on which a node or key starts. */
  lineOf(node: Node): number
  /** The plain value of a node, its aliases resolved. */
  valueOf(node: Node): Json
  /** What an alias stands for; any other node itself. */
  resolve(node: unknown): Node | undefined
}

/** How many aliases a document may resolve: more than people write, less than an attack needs. */
const maxAliasCount = 200

/** Parses the text of a manifest file. Empty documents are left out. */
export function readManifest(text: string): ManifestSource {
  const lines = new LineCounter()
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'silent',
  })
  const documents: ManifestDocument[] = []
  const problems: ManifestProblem[] = []
  for (const document of parsed) {
    const [error] = document.errors
    if (error !== undefined) {
      problems.push({
        line: lines.linePos(error.pos[0]).line,
        problem: `is not YAML: ${error.message.split('\n', 1)[0]?.replace(/[.:]$/, '') ?? ''}`,
        fix: 'correct the syntax there',
      })
    } else if (isMap(document.contents)) {
      documents.push(open(document, document.contents, lines))
    } else if (document.contents !== null && !isEmpty(document.contents)) {
      problems.push({
        line: lines.linePos(document.contents.range[0]).line,
        problem: 'is not a Kubernetes object',
        fix: 'start it with apiVersion and kind',
      })
    }
  }
  return { documents, problems }
}

function open(document: Document, root: YAMLMap, lines: LineCounter): ManifestDocument {
  // To find what an alias stands for, the library walks through the document from its start.
  const targets = new Map<Alias, Node | undefined>()
  const targetOf = (alias: Alias): Node | undefined => {
    if (!targets.has(alias)) targets.set(alias, alias.resolve(document))
    return targets.get(alias)
  }
  return {
    root,
    lineOf: (node) => lines.linePos(node.range?.[0] ?? 0).line,
    valueOf: (node) => node.toJS(document, { maxAliasCount }) as Json,
    resolve: (node) => {
      if (isAlias(node)) return targetOf(node)
      return isMap(node) || isSeq(node) || isScalar(node) ? node : undefined
    },
  }
}

function isEmpty(node: Node): boolean {
  return isScalar(node) && node.value === null
}

/** The fields of a mapping whose names are text, in their order. */
export function fieldsOf(
  document: ManifestDocument,
  node: unknown,
): readonly { readonly name: string; readonly key: Node; readonly value: Node | undefined }[] {
  const map = document.resolve(node)
  if (!isMap(map)) return []
  return map.items.flatMap(({ key, value }) =>
    isScalar(key) && typeof key.value === 'string'
      ? [{ name: key.value, key, value: document.resolve(value) }]
      : [],
  )
}

/** The value at a path of field names, if there is one. */
export function valueAt(
  document: ManifestDocument,
  node: unknown,
  path: readonly string[],
): Node | undefined {
  return path.reduce<Node | undefined>(
    (at, name) => fieldsOf(document, at).find((field) => field.name === name)?.value,
    document.resolve(node),
  )
}

/** The text of a scalar at a path of field names. */
export function textAt(
  document: ManifestDocument,
  node: unknown,
  path: readonly string[],
): string | undefined {
  const found = valueAt(document, node, path)
  return isScalar(found) && typeof found.value === 'string' ? found.value : undefined
}

/**
 * The line of the file on which a line of a text scalar stands. Exact for a literal block (`|`); a
 * quoted or folded text has moved its lines about, so there it is where the text starts.
 */
export function lineInText(document: ManifestDocument, text: Scalar, line: number): number {
  const start = document.lineOf(text)
  return text.type === Scalar.BLOCK_LITERAL ? start + line : start
}
