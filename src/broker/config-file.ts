import { parseDocument, type Document } from 'yaml'
import { LatchkeyError } from '../base/errors.ts'
import type { BrokerSettings } from './config.ts'
import { brokerFlags } from './flags.ts'

const names = Object.keys(brokerFlags).filter(
  (name) => !['config', 'help', 'version'].includes(name),
)

/**
 * Reads a configuration file: a mapping of flags, without their dashes, to values.
 *
 * @throws `ERR_CONFIG_INVALID`, naming the key.
 */
export function parseConfigFile(source: string): BrokerSettings {
  const document = parseDocument(source, { uniqueKeys: true })
  const [problem] = document.errors
  if (problem !== undefined) {
    throw invalid(`is not YAML (${problem.code}, line ${problem.linePos?.[0].line ?? 1})`)
  }
  const content = plainContent(document)
  if (content === null) return {}
  if (typeof content !== 'object' || Array.isArray(content)) throw invalid('is not a mapping')
  return Object.fromEntries(
    Object.entries(content).map(([key, value]) => [key, fileValue(key, value)]),
  )
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

function fileValue(key: string, value: unknown): string | boolean {
  if (!names.includes(key)) {
    throw invalid(`has an unknown key, ${key}`, `the keys are ${names.join(', ')}`)
  }
  const { type } = brokerFlags[key as keyof typeof brokerFlags]
  if (typeof value === type) return value as string | boolean
  // A number of streams is more naturally written without quotes.
  if (key === 'max-streams' && typeof value === 'number') return String(value)
  throw invalid(`has a ${key} that is ${type === 'boolean' ? 'neither true nor false' : 'no text'}`)
}

function invalid(what: string, hint = 'see latchkey-broker --help'): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', `the configuration file ${what}`, { hint })
}
