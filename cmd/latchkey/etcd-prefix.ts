import { LatchkeyError } from '../../src/base/errors.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'

/** An absolute path without a slash at its end, as the API server itself makes of it. */
export function prefixOf(text: string): string {
  const prefix = `/${text.replace(/^\/+|\/+$/g, '')}`
  if (/^(?:\/[^/\s]+)+$/.test(prefix)) return prefix
  throw new LatchkeyError('ERR_USAGE', '--prefix is not a prefix of etcd keys', {
    hint: `give it as the API servers' --etcd-prefix; the default is ${defaultPrefix}`,
  })
}
