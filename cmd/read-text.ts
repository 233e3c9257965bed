import { createReadStream } from 'node:fs'
import { LatchkeyError, systemCode } from '../src/base/errors.ts'

/** More than any manifest has. */
const maxBytes = 32 * 1_048_576

/**
 * The text of a file, or of standard input for `-`.
 *
 * @throws `ERR_CONFIG_INVALID` when it cannot be read or has more than 32 MiB.
 */
export async function readText(file: string): Promise<string> {
  const stream = file === '-' ? process.stdin : createReadStream(file)
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      length += chunk.byteLength
      if (length > maxBytes) break
      chunks.push(chunk)
    }
  } catch (error) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${file}: ${systemCode(error) ?? 'unreadable'}`, {
      hint: 'name a file that you may read, or - for standard input',
    })
  }
  if (length <= maxBytes) return Buffer.concat(chunks).toString('utf8')
  throw new LatchkeyError('ERR_CONFIG_INVALID', `${file} has more than ${maxBytes} bytes`, {
    hint: 'name manifests',
  })
}
