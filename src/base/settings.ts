import { parseArgs } from 'node:util'
import type { Document } from 'yaml'
import { LatchkeyError, systemCode } from './errors.ts'

/** What a flag takes, as `parseArgs` of `node:util` has it. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  /** May be given several times; in a file it is a text or a list of texts. */
  readonly multiple?: boolean
  readonly short?: string
}

/** The flags of a program by their names, which are also the keys of its configuration file. */
export type Flags = Readonly<Record<string, Flag>>

/** Settings by the name of their flag, from flags or from the file. */
export type Settings = Readonly<Partial<Record<string, string | boolean | readonly string[]>>>

/** The program whose settings are read. */
export interface SettingsOf {
  readonly flags: Flags
  /** Whose `--help` a hint points to. */
  readonly program: string
  /** Keys of the file whose text may be a number, as that is how it is more naturally written. */
  readonly numbers?: readonly string[]
}

/** Flags that make no sense in a file. */
const onlyFlags = ['config', 'help', 'version']

/**
 * Takes a command line apart.
 *
 * @throws `ERR_USAGE`, which names a flag and no value.
 */
export function parseFlags(args: readonly string[], { flags, program }: SettingsOf): Settings {
  const usage = (message: string): LatchkeyError =>
    new LatchkeyError('ERR_USAGE', message, { hint: `see ${program} --help` })
  try {
    const { values } = parseArgs({ args: [...args], options: flags, strict: true })
    // parseArgs has checked the types; lists of booleans do not occur.
    return values as Settings
  } catch (error) {
    // The message of a stray argument repeats it; the others name the flag and no value.
    if (systemCode(error) === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      throw usage('there is an argument that is no flag')
    }
    throw usage(error instanceof Error ? (error.message.split('. ')[0] ?? '') : 'wrong flags')
  }
}

/**
 * Reads a configuration file: a mapping of flags, without their dashes, to values. The parser is
 * passed in, so that a program without such a file does not load it.
 *
 * @throws `ERR_CONFIG_INVALID`, naming the key.
 */
export function parseSettingsFile(
  yaml: typeof import('yaml'),
  source: string,
  of: SettingsOf,
): Settings {
  const content = parseMapping(yaml, source, of.program)
  return Object.fromEntries(
    Object.entries(content).map(([key, value]) => [key, settingOf(key, value, of)]),
  )
}

/**
 * Reads a YAML file that is a mapping; an empty one is an empty mapping.
 *
 * @throws `ERR_CONFIG_INVALID`, naming the line of what is no YAML.
 */
export function parseMapping(
  yaml: typeof import('yaml'),
  source: string,
  program: string,
): Readonly<Record<string, unknown>> {
  const document = yaml.parseDocument(source, { uniqueKeys: true })
  const [problem] = document.errors
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line ?? 1
    throw invalid(`is not YAML (${problem.code}, line ${line})`, program)
  }
  const content = plainContent(document)
  if (content === null) return {}
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw invalid('is not a mapping', program)
  }
  return content as Readonly<Record<string, unknown>>
}

function plainContent(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch (cause) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'the configuration file has an alias', {
      hint: 'write the value out instead of *alias',
      cause,
    })
  }
}

function settingOf(
  key: string,
  value: unknown,
  { flags, program, numbers = [] }: SettingsOf,
): string | boolean | readonly string[] {
  const flag = Object.hasOwn(flags, key) && !onlyFlags.includes(key) ? flags[key] : undefined
  if (flag === undefined) {
    const names = Object.keys(flags).filter((name) => !onlyFlags.includes(name))
    throw new LatchkeyError(
      'ERR_CONFIG_INVALID',
      `the configuration file has an unknown key, ${key}`,
      {
        hint: `the keys are ${names.join(', ')}`,
      },
    )
  }
  const { type, multiple = false } = flag
  if (typeof value === type) return value as string | boolean
  if (multiple && Array.isArray(value) && value.every((item) => typeof item === type)) {
    return value as readonly string[]
  }
  if (numbers.includes(key) && typeof value === 'number') return String(value)
  const kind =
    type === 'boolean'
      ? 'neither true nor false'
      : multiple
        ? 'no text or list of texts'
        : 'no text'
  throw invalid(`has a ${key} that is ${kind}`, program)
}

function invalid(what: string, program: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', `the configuration file ${what}`, {
    hint: `see ${program} --help`,
  })
}
