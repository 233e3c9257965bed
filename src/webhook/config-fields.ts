import { parseHostPort, type HostPort } from '../base/address.ts'
import { LatchkeyError } from '../base/errors.ts'
import { parseDuration } from '../injection/duration.ts'
import { isObject, listOf, type Json, type JsonObject } from '../injection/pod/json.ts'

/**
 * Reads the fields of a configuration, each once and with its default; what nobody read is an error
 * in the end, so that a misspelt name is never a silent default.
 */
export class ConfigFields {
  readonly #values: JsonObject
  readonly #path: string
  readonly #read = new Set<string>()
  readonly #inner: ConfigFields[] = []

  /** `path` is put before names in errors: `''` or `sidecar.`. */
  constructor(value: Json | undefined, path = '') {
    if (value !== undefined && value !== null && !isObject(value)) {
      throw invalid(`${path === '' ? 'the configuration' : path.slice(0, -1)} is not a mapping`)
    }
    this.#values = value ?? {}
    this.#path = path
  }

  /** Whether a field was given. */
  has(name: string): boolean {
    return Object.hasOwn(this.#values, name) && this.#values[name] !== null
  }

  /** The fields of a mapping in this one. */
  inner(name: string): ConfigFields {
    const fields = new ConfigFields(this.#take(name), `${this.#path}${name}.`)
    this.#inner.push(fields)
    return fields
  }

  text(name: string): string | undefined {
    const value = this.#take(name)
    if (value === undefined || value === null) return undefined
    if (typeof value === 'string' && value !== '') return value
    throw this.invalid(name, 'is not text')
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.#take(name)
    if (value === undefined || value === null) return undefined
    const texts = listOf(value).filter((each) => typeof each === 'string' && each !== '')
    if (Array.isArray(value) && texts.length === value.length) return texts as readonly string[]
    throw this.invalid(name, 'is not a list of texts')
  }

  boolean(name: string, otherwise: boolean): boolean {
    const value = this.#take(name) ?? otherwise
    if (typeof value === 'boolean') return value
    throw this.invalid(name, 'is neither true nor false')
  }

  integer(name: string, range: { min: number; max: number; otherwise: number }): number {
    const value = this.#take(name) ?? range.otherwise
    const inRange = typeof value === 'number' && value >= range.min && value <= range.max
    if (inRange && Number.isInteger(value)) return value
    throw this.invalid(name, `is not a whole number from ${range.min} to ${range.max}`)
  }

  choice<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.#take(name) ?? otherwise
    const found = choices.find((each) => each === value)
    if (found !== undefined) return found
    throw this.invalid(name, `is none of ${choices.join(', ')}`)
  }

  hostPort(name: string): HostPort | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : parseHostPort(text, `${this.#path}${name}`)
  }

  /** Milliseconds, written as `90s` or `24h`. */
  duration(name: string, range: { min: string; max: string; otherwise: string }): number {
    const ms = parseDuration(this.text(name) ?? range.otherwise)
    const [min, max] = [parseDuration(range.min) ?? 0, parseDuration(range.max) ?? 0]
    if (ms !== undefined && ms >= min && ms <= max) return ms
    throw this.invalid(name, `is not a duration from ${range.min} to ${range.max}`)
  }

  /** A mapping of texts or numbers, as texts. */
  amounts(name: string): Readonly<Record<string, string>> | undefined {
    const value = this.#take(name)
    if (value === undefined || value === null) return undefined
    if (!isObject(value)) throw this.invalid(name, 'is not a mapping')
    const entries = Object.entries(value).map(([resource, amount]): [string, string] => {
      if (typeof amount === 'string' || typeof amount === 'number')
        return [resource, String(amount)]
      throw this.invalid(`${name}.${resource}`, 'is not an amount, such as 10m or 96Mi')
    })
    return Object.fromEntries(entries)
  }

  /** A field's value as it came. */
  raw(name: string): Json | undefined {
    return this.#take(name)
  }

  /** Refuses names that nothing has read, in the mappings inside too. */
  end(): void {
    for (const name of Object.keys(this.#values)) {
      if (this.#read.has(name)) continue
      throw invalid(`${this.#path}${name} is not a field of the configuration`, this.#known())
    }
    for (const fields of this.#inner) fields.end()
  }

  /** An error about a field. */
  invalid(name: string, what: string): LatchkeyError {
    return invalid(`${this.#path}${name} ${what}`)
  }

  #take(name: string): Json | undefined {
    this.#read.add(name)
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined
  }

  #known(): string {
    return `the fields are ${[...this.#read].map((name) => `${this.#path}${name}`).join(', ')}`
  }
}

function invalid(message: string, hint?: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', message, hint === undefined ? {} : { hint })
}
