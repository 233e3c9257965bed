import { parseAllDocuments } from 'yaml'

export type Fields = Readonly<Record<string, unknown>>
/** An object as a manifest declares it. */
export interface Manifest extends Fields {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string } & Fields
}

/** The objects in what Helm or kustomize prints. */
export function documentsOf(text: string): readonly Manifest[] {
  // As the API server's clients read it: 0440 is a number of base eight.
  return parseAllDocuments(text, { version: '1.1' })
    .map((each) => each.toJS({ maxAliasCount: 100 }) as Manifest | null)
    .filter((each) => each !== null)
}
