import { LatchkeyError } from '../../src/base/errors.ts'

/** Reads `--max-key-age`, in days. Throws `ERR_USAGE`. */
export function parseMaxKeyAge(text: string): number {
  if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text)
  throw new LatchkeyError('ERR_USAGE', '--max-key-age is not a number of days', {
    hint: 'write it as in --max-key-age 90',
  })
}
