import { LatchkeyError } from '../../../base/errors.ts'
import { parseEtcdKey } from '../../../storage/resource.ts'

/** Which objects are wanted. */
export interface Selection {
  /** Whether `key` is; an exact key that was met is not missing any more. */
  wants(key: string): boolean
  /** Exact keys, and prefixes, that nothing was met of. */
  readonly missing: readonly string[]
}

/**
 * Reads what is to be decrypted: keys of etcd, or with a slash at the end all that is below.
 *
 * @throws `ERR_USAGE` for nothing, for both keys and `all`, or for a key outside the prefix.
 */
export function parseSelection(
  keys: readonly string[],
  options: { readonly all: boolean; readonly prefix: string },
): Selection {
  const { all, prefix } = options
  if (all === keys.length > 0) {
    throw new LatchkeyError('ERR_USAGE', 'name either keys of etcd or --all', {
      hint: `a key is ${prefix}/secrets/NAMESPACE/NAME; ${prefix}/secrets/NAMESPACE/ is all below it`,
    })
  }
  for (const key of keys) {
    const within = key.endsWith('/') ? key.startsWith(`${prefix}/`) : parseEtcdKey(key, prefix)
    if (within !== undefined && within !== false) continue
    throw new LatchkeyError('ERR_USAGE', `no API server keeps anything at ${JSON.stringify(key)}`, {
      hint: `write ${prefix}/secrets/NAMESPACE/NAME, or say --prefix`,
    })
  }
  const missing = new Set(keys)
  const prefixes = keys.filter((key) => key.endsWith('/'))
  const exact = new Set(keys)
  return {
    wants: (key) => {
      if (all) return key.startsWith(`${prefix}/`)
      const fitting = prefixes.filter((start) => key.startsWith(start))
      for (const start of fitting) missing.delete(start)
      if (missing.has(key)) missing.delete(key)
      return fitting.length > 0 || exact.has(key)
    },
    get missing() {
      return [...missing]
    },
  }
}
