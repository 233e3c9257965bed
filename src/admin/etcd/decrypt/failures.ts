import type { ErrorCode, LatchkeyError } from '../../../base/errors.ts'
import type { StoredValue } from '../../../storage/stored-value.ts'
import type { Terminal } from '../../terminal.ts'
import { printable } from '../scan/present.ts'

/** How many objects are named; all are counted. */
const namedObjects = 20

/** What may be wrong with an object itself, and says nothing about the next one. */
const ofTheObject: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_ANNOTATION_UNKNOWN',
  'ERR_CIPHERTEXT_INVALID',
  'ERR_CIPHERTEXT_VERSION',
  'ERR_KEY_DESTROYED',
  'ERR_KEY_UNKNOWN',
  'ERR_STORED_KEY_MISSING',
  'ERR_STORED_MALFORMED',
])

/** Objects that did not open, and why. */
export class FailureList {
  readonly #named: string[] = []
  readonly #hints = new Set<string>()
  /** Objects that need a key that is not at hand, by key id. */
  readonly #missing = new Map<string, number>()
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Whether an error is an object's own. */
  takes(error: LatchkeyError): boolean {
    return ofTheObject.has(error.code)
  }

  add({ key, value, error }: { key: string; value: StoredValue; error: LatchkeyError }): void {
    this.#count += 1
    if (this.#named.length < namedObjects) {
      this.#named.push(`problem: ${printable(key)}: ${error.message} (${error.code})`)
    }
    if (error.code === 'ERR_KEY_UNKNOWN' && 'keyId' in value) {
      this.#missing.set(value.keyId, (this.#missing.get(value.keyId) ?? 0) + 1)
    } else if (error.hint !== undefined) this.#hints.add(error.hint)
  }

  tell(terminal: Terminal): void {
    for (const line of this.#named) terminal.say(line)
    if (this.#count > this.#named.length) {
      terminal.say(`and ${this.#count - this.#named.length} more that did not open`)
    }
    for (const [keyId, objects] of this.#missing) {
      terminal.say(
        `${objects} object(s) need key ${printable(keyId)}, which this backup does not have: use one that was made later, or of another keyring`,
      )
    }
    for (const hint of this.#hints) terminal.say(`hint: ${hint}`)
  }
}
