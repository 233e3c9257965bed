/** Where in the text something stands; both count from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** A parsed document that remembers where each part stood, so that an error can point at it. */
export type Tree = TextNode | OtherNode | ListNode | MapNode

/** A scalar that YAML reads as text. */
export interface TextNode {
  readonly kind: 'text'
  readonly value: string
  readonly place: Place
}

/** A scalar that YAML reads as a number, a boolean or nothing. */
export interface OtherNode {
  readonly kind: 'other'
  /** As written, `0440` or `true`; empty for nothing. */
  readonly source: string
  readonly value: number | boolean | null
  readonly place: Place
}

export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly Tree[]
  readonly place: Place
}

export interface MapNode {
  readonly kind: 'map'
  readonly fields: readonly MapField[]
  readonly place: Place
}

export interface MapField {
  readonly name: string
  readonly place: Place
  readonly value: Tree
}

/** What a node is, for the sentence `expected …, got …`. Never quotes a text, which may be long. */
export function nounOf(node: Tree): string {
  switch (node.kind) {
    case 'text':
      return 'text'
    case 'list':
      return 'a list'
    case 'map':
      return 'a mapping'
    case 'other':
      if (node.value === null) return 'nothing'
      return typeof node.value === 'number'
        ? `the number ${node.source}`
        : `the value ${node.source}`
  }
}
