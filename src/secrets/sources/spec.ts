import { LatchkeyError } from '../../base/errors.ts'

/** A `--source` taken apart. */
export type SourceSpec =
  { readonly kind: 'kubernetes' } | { readonly kind: 'file'; readonly directory: string }

/**
 * Reads `kubernetes` or `file:DIR`.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export function parseSourceSpec(text: string): SourceSpec {
  if (text === 'kubernetes') return { kind: 'kubernetes' }
  const directory = /^file:(.+)$/s.exec(text)?.[1]
  if (directory !== undefined) return { kind: 'file', directory }
  throw new LatchkeyError('ERR_CONFIG_INVALID', 'the source is of no known kind', {
    hint: 'use kubernetes, or file:DIR with --store-root',
  })
}
