import { LatchkeyError, isLatchkeyError } from '../../base/errors.ts'
import type { SecretBytes } from '../../base/secret.ts'
import { nameOf } from '../../injection/paths.ts'
import type { MountEntry } from '../../injection/plan.ts'
import { parseTemplate, templateKeys } from '../../injection/template.ts'
import type { TemplatePart } from '../../injection/template.ts'
import { ByteWriter } from './byte-writer.ts'
import { encoders } from './formats.ts'
import type { KeyValue } from './formats.ts'
import { applyFilters } from './template-filters.ts'

/** A file that an entry asks for. */
export interface RenderedFile {
  readonly name: string
  readonly bytes: SecretBytes
}

/** What came of an entry and a secret's keys. */
export type Rendering =
  | { readonly kind: 'files'; readonly files: readonly RenderedFile[] }
  /** The secret lacks keys that the entry names: as much a decision as a secret that is not there. */
  | { readonly kind: 'missing'; readonly keys: readonly string[] }
  /** A value that the format cannot hold. The error names the key. */
  | { readonly kind: 'refused'; readonly error: LatchkeyError }

/** Makes the files of an entry. The caller wipes them. */
export function render(entry: MountEntry, values: readonly KeyValue[]): Rendering {
  const { content } = entry
  const name = nameOf(entry.path)
  switch (content.kind) {
    case 'key': {
      const found = values.find(({ key }) => key === content.key)
      if (found === undefined) return { kind: 'missing', keys: [content.key] }
      return { kind: 'files', files: [{ name, bytes: found.value.clone() }] }
    }
    case 'files':
      return {
        kind: 'files',
        files: values.map(({ key, value }) => ({ name: key, bytes: value.clone() })),
      }
    case 'encoded':
      return oneFile(name, (out) => {
        encoders[content.format](values, out)
      })
    case 'template': {
      const parts = partsOf(content.template)
      const byKey = new Map(values.map((each) => [each.key, each]))
      const missing = templateKeys(parts).filter((key) => !byKey.has(key))
      if (missing.length > 0) return { kind: 'missing', keys: missing }
      return oneFile(name, (out) => {
        renderTemplate(parts, byKey, out)
      })
    }
  }
}

/** The keys that an entry needs of its secret; `undefined` means all of them. */
export function neededKeys(entry: MountEntry): readonly string[] | undefined {
  switch (entry.content.kind) {
    case 'key':
      return [entry.content.key]
    case 'template':
      return templateKeys(partsOf(entry.content.template))
    case 'files':
    case 'encoded':
      return undefined
  }
}

function partsOf(template: string): readonly TemplatePart[] {
  const parsed = parseTemplate(template)
  // A plan's templates were parsed when the plan was read.
  if ('problem' in parsed) throw new LatchkeyError('ERR_PLAN_INVALID', parsed.problem)
  return parsed.parts
}

function renderTemplate(
  parts: readonly TemplatePart[],
  values: ReadonlyMap<string, KeyValue>,
  out: ByteWriter,
): void {
  for (const part of parts) {
    if (part.kind === 'text') {
      out.text(part.text)
      continue
    }
    const entry = values.get(part.key)
    if (entry === undefined) throw new TypeError('a missing key was not noticed')
    using filtered = applyFilters(entry, part.filters)
    out.bytes(filtered.expose())
  }
}

function oneFile(name: string, write: (out: ByteWriter) => void): Rendering {
  using out = new ByteWriter()
  try {
    write(out)
    return { kind: 'files', files: [{ name, bytes: out.take() }] }
  } catch (error) {
    if (isLatchkeyError(error, 'ERR_NOT_RENDERABLE')) return { kind: 'refused', error }
    throw error
  }
}
