import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { LatchkeyError } from '../../base/errors.ts'
import { diskError } from '../../clients/disk.ts'
import { parseEncryptionConfig, type EncryptionConfig } from '../../storage/encryption-config.ts'

/** The API server itself takes no larger file to be one (its own limit on a configuration is lower). */
const maxBytes = 4 * 1024 * 1024

/**
 * Reads the file of the API servers' `--encryption-provider-config`.
 *
 * @throws `ERR_CONFIG_INVALID` naming line or field, `ERR_IO`.
 */
export async function readEncryptionConfig(file: string, cwd: string): Promise<EncryptionConfig> {
  const path = resolve(cwd, file)
  let text: string
  try {
    if ((await stat(path)).size > maxBytes) {
      throw new LatchkeyError('ERR_CONFIG_INVALID', `${path} has more than ${maxBytes} bytes`)
    }
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw diskError(error, path)
  }
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { uniqueKeys: true })
  const [problem] = document.errors
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line ?? 1
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${path}:${line}: not YAML (${problem.code})`)
  }
  return parseEncryptionConfig(document.toJS({ maxAliasCount: 100 }))
}
