import { isKey, orList, shortened } from './fields.ts'
import type { Finding } from './problem.ts'

/** What may follow a key's name behind a bar: how its bytes are written. */
export const filters = ['base64', 'json', 'shell', 'trim', 'uri', 'yaml'] as const
export type Filter = (typeof filters)[number]

/** A parsed template: text and placeholders in order. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  /** The bytes of `key`, passed through `filters` from left to right. */
  | { readonly kind: 'value'; readonly key: string; readonly filters: readonly Filter[] }

/**
 * Parses a template. The whole language is
 *
 * ```
 * {{ key }}  {{ key | filter | filter }}  {{ "{{" }}
 * ```
 *
 * the last of which writes `{{` itself. There is nothing to execute, no condition, loop, include or
 * default: a key that the secret lacks is an error when the template is rendered.
 *
 * Filters: `base64` (RFC 4648 §4), `json` and `yaml` (a quoted scalar), `shell` (a quoted word),
 * `uri` (percent-encoding of all but RFC 3986's unreserved characters), `trim` (without the line
 * ends at the end).
 */
export function parseTemplate(
  template: string,
): { readonly parts: readonly TemplatePart[] } | (Finding & { readonly offset: number }) {
  const parts: TemplatePart[] = []
  let offset = 0
  while (offset < template.length) {
    const open = template.indexOf('{{', offset)
    if (open < 0) break
    if (open > offset) parts.push({ kind: 'text', text: template.slice(offset, open) })
    const literal = /^\{\{\s*"\{\{"\s*\}\}/.exec(template.slice(open, open + 200))
    if (literal !== null) {
      parts.push({ kind: 'text', text: '{{' })
      offset = open + literal[0].length
      continue
    }
    const close = template.indexOf('}}', open)
    if (close < 0) {
      return { offset: open, problem: 'has {{ without }}', fix: 'close it, or write {{ "{{" }}' }
    }
    const part = parsePlaceholder(template.slice(open + 2, close))
    if ('problem' in part) return { ...part, offset: open }
    parts.push(part)
    offset = close + 2
  }
  if (offset < template.length) parts.push({ kind: 'text', text: template.slice(offset) })
  return { parts }
}

/** The keys that the template cannot do without, each once, in order of their first use. */
export function templateKeys(parts: readonly TemplatePart[]): readonly string[] {
  return [...new Set(parts.flatMap((part) => (part.kind === 'value' ? [part.key] : [])))]
}

function parsePlaceholder(inside: string): TemplatePart | Finding {
  const [key = '', ...names] = inside.split('|').map((piece) => piece.trim())
  if (!isKey(key)) {
    return {
      problem: `has a placeholder {{ ${shortened(inside.trim())} }} that is not the name of a key`,
      fix: 'write {{ key }}; there are no expressions',
    }
  }
  const known = filters.filter((filter) => names.includes(filter))
  const unknown = names.find((name) => !known.some((filter) => filter === name))
  if (unknown !== undefined) {
    return {
      problem: `uses the unknown filter ${JSON.stringify(shortened(unknown))}`,
      fix: `use ${orList(filters)}`,
    }
  }
  return { kind: 'value', key, filters: names as readonly Filter[] }
}
