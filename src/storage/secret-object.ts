import { fromUtf8 } from '../base/bytes.ts'
import { LatchkeyError } from '../base/errors.ts'
import { readFields } from '../base/protobuf.ts'

/** A Secret as it is stored. Values are views of the stored bytes. */
export interface StoredSecret {
  readonly name: string
  readonly namespace: string
  readonly labels: ReadonlyMap<string, string>
  readonly annotations: ReadonlyMap<string, string>
  /** `Opaque`, `kubernetes.io/tls`, … */
  readonly type: string
  readonly immutable: boolean
  readonly data: ReadonlyMap<string, Uint8Array>
}

const magic = Uint8Array.of(0x6b, 0x38, 0x73, 0)

/**
 * Reads a Secret that an API server has serialised as protobuf: `k8s\0`, a `runtime.Unknown`
 * (apimachinery/pkg/runtime/generated.proto), in it a `v1.Secret` (api/core/v1/generated.proto).
 *
 * @returns `undefined` for another object, or another serialisation.
 * @throws `ERR_STORED_MALFORMED`.
 */
export function readStoredSecret(object: Uint8Array): StoredSecret | undefined {
  if (!magic.every((byte, index) => object[index] === byte)) return undefined
  try {
    const unknown = new Message(object.subarray(magic.byteLength))
    const type = new Message(unknown.bytes(1))
    if (type.text(1) !== 'v1' || type.text(2) !== 'Secret') return undefined
    if (unknown.text(3) !== '') throw malformed()
    return readSecret(new Message(unknown.bytes(2)))
  } catch (error) {
    if (error instanceof LatchkeyError && error.code === 'ERR_MESSAGE_INVALID') throw malformed()
    throw error
  }
}

function readSecret(secret: Message): StoredSecret {
  const meta = new Message(secret.bytes(1))
  return {
    name: meta.text(1),
    namespace: meta.text(3),
    labels: textMap(meta.map(11)),
    annotations: textMap(meta.map(12)),
    type: secret.text(3),
    immutable: secret.number(5) === 1,
    data: secret.map(2),
  }
}

/** Fields of one message; of a field that comes twice the last counts. */
class Message {
  readonly #bytes = new Map<number, Uint8Array[]>()
  readonly #numbers = new Map<number, number>()

  constructor(message: Uint8Array) {
    for (const field of readFields(message)) {
      if (field.kind === 'varint') this.#numbers.set(field.number, field.value)
      if (field.kind !== 'bytes') continue
      const former = this.#bytes.get(field.number)
      if (former === undefined) this.#bytes.set(field.number, [field.value])
      else former.push(field.value)
    }
  }

  bytes(number: number): Uint8Array {
    return this.#bytes.get(number)?.at(-1) ?? new Uint8Array()
  }

  number(number: number): number {
    return this.#numbers.get(number) ?? 0
  }

  text(number: number): string {
    const text = fromUtf8(this.bytes(number))
    if (text === undefined) throw malformed()
    return text
  }

  map(number: number): ReadonlyMap<string, Uint8Array> {
    const entries = (this.#bytes.get(number) ?? []).map((entry) => new Message(entry))
    return new Map(entries.map((entry) => [entry.text(1), entry.bytes(2)]))
  }
}

function textMap(map: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, string> {
  const texts = [...map].map(([name, bytes]): [string, string] => {
    const text = fromUtf8(bytes)
    if (text === undefined) throw malformed()
    return [name, text]
  })
  return new Map(texts)
}

function malformed(): LatchkeyError {
  return new LatchkeyError('ERR_STORED_MALFORMED', 'the stored Secret cannot be read')
}
