import { orList, readChoice, readKey, readText } from './fields.ts'
import type { Report } from './fields.ts'
import type { WrittenPath } from './paths.ts'
import { encodedFormats } from './plan.ts'
import type { Content, EncodedFormat } from './plan.ts'
import type { Finding } from './problem.ts'
import { parseTemplate, templateKeys } from './template.ts'
import type { Tree } from './tree.ts'

const formats = ['raw', 'files', ...encodedFormats] as const
type Format = (typeof formats)[number]

/** Those fields of an entry that together say what its target holds. */
export interface ContentFields {
  readonly path: WrittenPath
  readonly key: Tree | undefined
  readonly format: Tree | undefined
  readonly template: Tree | undefined
  /** Where to point for a field that is missing. */
  readonly fallback: Tree
}

/** Reads `key`, `format` and `template`, and checks that they agree with each other and the path. */
export function readContent(
  fields: ContentFields,
  reportAt: (field: string | undefined) => Report,
): Content | undefined {
  const key = fields.key && readKey(fields.key, reportAt('key'))
  const format = fields.format && readChoice(fields.format, formats, reportAt('format'))
  const template = fields.template && readTemplate(fields.template, reportAt('template'))
  const unread =
    (fields.key !== undefined && key === undefined) ||
    (fields.format !== undefined && format === undefined) ||
    (fields.template !== undefined && template === undefined)
  if (unread) return undefined
  const content = combine({ directory: fields.path.directory, key, format, template })
  if ('kind' in content) return content
  const { field, problem, fix } = content
  const at = field === 'path' ? undefined : fields[field]
  reportAt(field)(at ?? fields.fallback, { problem, fix })
  return undefined
}

type FieldFinding = Finding & { readonly field: 'path' | 'key' | 'format' | 'template' }

interface Combination {
  readonly directory: boolean
  readonly key: string | undefined
  readonly format: Format | undefined
  readonly template: string | undefined
}

function combine({ directory, key, format, template }: Combination): Content | FieldFinding {
  if (template !== undefined) {
    if (key !== undefined) return besideTemplate('key')
    if (format !== undefined) return besideTemplate('format')
    return directory ? fillsOneFile('a template') : { kind: 'template', template }
  }
  if (key !== undefined) {
    if (format !== undefined && format !== 'raw') {
      return {
        field: 'format',
        problem: 'takes the whole secret, but the entry names one key',
        fix: 'remove key, or write format: raw',
      }
    }
    return directory ? fillsOneFile('one key') : { kind: 'key', key }
  }
  if (format === 'raw') {
    return { field: 'key', problem: 'is missing: format raw takes one key', fix: 'add key: NAME' }
  }
  return wholeSecret(directory, format)
}

function wholeSecret(
  directory: boolean,
  format: EncodedFormat | 'files' | undefined,
): Content | FieldFinding {
  if (format !== undefined && format !== 'files') {
    return directory ? fillsOneFile(`format ${format}`) : { kind: 'encoded', format }
  }
  if (directory) return { kind: 'files' }
  if (format === 'files') {
    return {
      field: 'path',
      problem: 'names a file, but format files fills a directory',
      fix: 'end the path with /',
    }
  }
  return {
    field: 'key',
    problem: 'is missing: the path names one file, and nothing says what it holds',
    fix: `add key: NAME, format: ${orList(encodedFormats)}, or template; or end the path with / for one file per key`,
  }
}

function besideTemplate(other: string): FieldFinding {
  return {
    field: 'template',
    problem: `cannot stand beside ${other}: it already says what the file holds`,
    fix: `remove ${other} or template`,
  }
}

function fillsOneFile(what: string): FieldFinding {
  return {
    field: 'path',
    problem: `names a directory, but ${what} fills one file`,
    fix: 'end the path with the name of the file',
  }
}

function readTemplate(node: Tree, report: Report): string | undefined {
  const text = readText(node, 'text such as "user={{ username }}"', report)
  if (text === undefined) return undefined
  const parsed = parseTemplate(text)
  if ('problem' in parsed) {
    const line = text.slice(0, parsed.offset).split('\n').length
    report(node, { problem: `${parsed.problem} (line ${line} of the template)`, fix: parsed.fix })
    return undefined
  }
  if (templateKeys(parsed.parts).length > 0) return text
  report(node, { problem: 'names no key', fix: 'write {{ KEY }} where its value belongs' })
  return undefined
}
