import { readFile } from 'node:fs/promises'
import { LatchkeyError } from '../base/errors.ts'

const maxGid = 4_294_967_294

/**
 * Numeric id of a group given by name or number. Names are looked up in `/etc/group` only: groups
 * of a directory service are given by number.
 *
 * @throws `ERR_CONFIG_INVALID`, naming `field`.
 */
export async function resolveGroup(
  group: string,
  options: { readonly field: string; readonly groupFile?: string },
): Promise<number> {
  if (/^[0-9]+$/.test(group)) {
    if (Number(group) <= maxGid) return Number(group)
    throw unknown(options.field, 'is no group id')
  }
  const groupFile = options.groupFile ?? '/etc/group'
  const text = await readFile(groupFile, 'utf8').catch(() => '')
  for (const line of text.split('\n')) {
    const [name, , gid] = line.split(':')
    if (name === group && gid !== undefined && /^[0-9]+$/.test(gid)) return Number(gid)
  }
  throw unknown(options.field, `names a group that is not in ${groupFile}`)
}

function unknown(field: string, what: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', `${field} ${what}`, {
    hint: 'create the group with groupadd, or give its number',
  })
}
