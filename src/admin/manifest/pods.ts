import { isMap, isScalar, isSeq, type Node, type Scalar } from 'yaml'
import { annotationPrefix, secretsAnnotation } from '../../injection/names.ts'
import { isObject, type JsonObject } from '../../injection/pod/json.ts'
import { fieldsOf, textAt, valueAt } from './source.ts'
import type { ManifestDocument } from './source.ts'

/** One of our annotations where it was found. */
export interface FoundAnnotation {
  readonly name: string
  readonly line: number
  /** Its text, or what stands there instead of one. */
  readonly value: Scalar<string> | Node | undefined
}

/** A pod, or a pod template in a workload of any kind, custom ones included. */
export interface ManifestPod {
  readonly document: ManifestDocument
  /** Kind and name of the object that it is or that it is in, `Deployment web`. */
  readonly owner: string
  /** What the manifest says of the namespace. */
  readonly namespace: string | undefined
  /** The name that the manifest gives the object. */
  readonly name: string | undefined
  readonly annotations: readonly FoundAnnotation[]
  /** The pod as JSON; without `spec.containers` where only a part of it is written (a patch). */
  readonly pod: JsonObject
  readonly isWhole: boolean
}

/** An annotation of ours on an object that is no pod, where nothing reads it. */
export interface StrayAnnotation {
  readonly owner: string
  readonly kind: string
  readonly annotation: FoundAnnotation
}

/** Everything in a document that concerns us. */
export interface ManifestContent {
  readonly pods: readonly ManifestPod[]
  readonly strays: readonly StrayAnnotation[]
}

/** Deeper than any workload nests: a CronJob in a List has its template at 6. */
const maxDepth = 24
/** How often one mapping is looked at: aliases of aliases would repeat it without end. */
const maxVisits = 50

/**
 * Finds the pods and pod templates of a document: whatever has `spec.containers`, and whatever is
 * called `template`. So workloads of kinds that nobody here knows are found as well.
 */
export function findPods(document: ManifestDocument): ManifestContent {
  const pods: ManifestPod[] = []
  const strays: StrayAnnotation[] = []
  const visits = new Map<Node, number>()
  const visit = (node: Node | undefined, at: Position): void => {
    if (at.depth > maxDepth) return
    if (isMap(node)) {
      const visited = visits.get(node) ?? 0
      if (visited >= maxVisits) return
      visits.set(node, visited + 1)
    }
    if (isSeq(node)) {
      for (const item of node.items) {
        // An alias repeats what was already looked at.
        if (isMap(item)) visit(item, { ...at, depth: at.depth + 1 })
      }
    }
    if (!isMap(node)) return
    const here = positionOf(document, node, at)
    const annotations = annotationsOf(document, node)
    if (isPod(document, node, here)) {
      pods.push(readPod(document, node, { at: here, annotations }))
      return
    }
    for (const annotation of annotations) {
      strays.push({ owner: ownerOf(here), kind: here.kind ?? '', annotation })
    }
    for (const { name, value } of fieldsOf(document, node)) {
      if (name !== 'metadata') visit(value, { ...here, field: name, depth: at.depth + 1 })
    }
  }
  visit(document.root, {
    depth: 0,
    field: '',
    kind: undefined,
    name: undefined,
    namespace: undefined,
  })
  return { pods, strays }
}

interface Position {
  readonly depth: number
  /** The field whose value the node is. */
  readonly field: string
  /** Of the nearest object around the node that has a kind. */
  readonly kind: string | undefined
  readonly name: string | undefined
  readonly namespace: string | undefined
}

function positionOf(document: ManifestDocument, node: Node, at: Position): Position {
  const kind = textAt(document, node, ['kind'])
  if (kind === undefined) return at
  return {
    ...at,
    kind,
    name: textAt(document, node, ['metadata', 'name']),
    namespace: textAt(document, node, ['metadata', 'namespace']),
  }
}

function ownerOf({ kind, name }: Position): string {
  return [kind ?? 'object', name].filter((part) => part !== undefined).join(' ')
}

function isPod(document: ManifestDocument, node: Node, { kind, field }: Position): boolean {
  if (field === '' && kind === 'Pod') return true
  if (field === 'items' && textAt(document, node, ['kind']) === 'Pod') return true
  return field === 'template' || isSeq(valueAt(document, node, ['spec', 'containers']))
}

function annotationsOf(document: ManifestDocument, node: Node): readonly FoundAnnotation[] {
  return fieldsOf(document, valueAt(document, node, ['metadata', 'annotations']))
    .filter(({ name }) => name.startsWith(annotationPrefix))
    .map(({ name, key, value }) => ({ name, line: document.lineOf(key), value }))
}

function readPod(
  document: ManifestDocument,
  node: Node,
  found: { readonly at: Position; readonly annotations: readonly FoundAnnotation[] },
): ManifestPod {
  const value = document.valueOf(node)
  return {
    document,
    owner: ownerOf(found.at),
    namespace: found.at.namespace,
    name: found.at.name,
    annotations: found.annotations,
    pod: isObject(value) ? value : {},
    isWhole: isSeq(valueAt(document, node, ['spec', 'containers'])),
  }
}

/** The list of secrets of a pod: its text and where it stands, or what is wrong with it. */
export function secretsTextOf(
  pod: ManifestPod,
): { readonly scalar: Scalar; readonly text: string } | 'none' | 'no text' {
  const found = pod.annotations.find(({ name }) => name === secretsAnnotation)
  if (found === undefined) return 'none'
  const { value } = found
  if (!isScalar(value) || typeof value.value !== 'string') return 'no text'
  return { scalar: value, text: value.value }
}
