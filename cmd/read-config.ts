import { readFile } from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../src/base/errors.ts'

/**
 * Reads a configuration file.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export async function readConfig(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = systemCode(error) ?? 'unreadable'
    throw new LatchkeyError('ERR_CONFIG_INVALID', `the configuration file ${path}: ${reason}`, {
      hint: 'name a YAML file that this user may read',
    })
  }
}
