import type { EncodeSecret, KeyValue } from './formats.ts'
import { isText } from './code-points.ts'
import { refuse } from './refusal.ts'

const format = 'dotenv'
const backslash = 0x5c
/** Names whose value is a reader's own: a shell's that cannot be set, or give back something else. */
const reserved: ReadonlySet<string> = new Set([
  ...['_', 'UID', 'EUID', 'PPID', 'RANDOM', 'SRANDOM', 'SECONDS', 'LINENO', 'OPTIND', 'HISTCMD'],
  ...['EPOCHSECONDS', 'EPOCHREALTIME', 'GROUPS', 'DIRSTACK', 'FUNCNAME', 'SHELLOPTS', 'BASHOPTS'],
  ...['BASHPID', 'BASH_VERSINFO', '__proto__'],
])
const singleQuote = 0x27

/**
 * Lines `NAME='value'` that a POSIX shell (`. file`), Node.js (`--env-file`, `util.parseEnv`),
 * dotenv for Node.js and python-dotenv all read as the same value.
 *
 * @remarks
 * There is no dotenv standard, and the readers disagree about escapes. So no escape is ever
 * written: a value stands in single quotes, or, when it has a single quote itself, in double quotes
 * if nothing in it is special there. What they would read differently is refused by name, which no
 * other format has to do: names that a shell keeps for itself, NUL and carriage return, a backslash at the end or two in a row, `${`,
 * and a single quote beside one of `"`, `$`, backslash and back quote. Docker's `--env-file`, which
 * knows no quotes, is not among the readers.
 */
export const encodeDotenv: EncodeSecret = (entries, out) => {
  for (const entry of entries) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(entry.key)) {
      throw refuse(entry.key, format, 'its name is not letters, digits and underscores alone')
    }
    if (reserved.has(entry.key)) {
      throw refuse(entry.key, format, 'its name is one that some readers keep for themselves')
    }
    const quote = quoteFor(entry)
    out.text(`${entry.key}=`)
    out.byte(quote)
    out.bytes(entry.value.expose())
    out.byte(quote)
    out.text('\n')
  }
}

function quoteFor({ key, value }: KeyValue): number {
  const bytes = value.expose()
  if (!isText(bytes)) throw refuse(key, format, 'it is not UTF-8 text')
  if (bytes.includes(0x00)) throw refuse(key, format, 'it holds a NUL byte')
  if (bytes.includes(0x0d)) throw refuse(key, format, 'it holds a carriage return')
  if (has(bytes, '${')) throw refuse(key, format, 'it holds "${", which some readers replace')
  if (has(bytes, '\\\\')) throw refuse(key, format, 'it holds two backslashes in a row')
  if (bytes.at(-1) === backslash) throw refuse(key, format, 'it ends with a backslash')
  if (!bytes.includes(singleQuote)) return singleQuote
  const special = ['"', '$', '\\', '`'].some((character) => has(bytes, character))
  if (!special) return 0x22
  throw refuse(key, format, 'it holds a single quote beside one of ", $, \\ and `')
}

function has(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(text)
}
