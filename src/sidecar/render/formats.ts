import type { SecretBytes } from '../../base/secret.ts'
import type { EncodedFormat } from '../../injection/plan.ts'
import type { ByteWriter } from './byte-writer.ts'
import { encodeDotenv } from './dotenv.ts'
import { encodeJson } from './json.ts'
import { encodeProperties } from './properties.ts'
import { encodeYaml } from './yaml.ts'

/** One key of a secret with its value. */
export interface KeyValue {
  readonly key: string
  readonly value: SecretBytes
}

/**
 * Writes a whole secret in one format, so that the format's own readers get back exactly its keys
 * and values. Throws `ERR_NOT_RENDERABLE`, naming the key, for what the format cannot hold.
 */
export type EncodeSecret = (entries: readonly KeyValue[], out: ByteWriter) => void

/** The encoders by format. */
export const encoders: Readonly<Record<EncodedFormat, EncodeSecret>> = {
  json: encodeJson,
  yaml: encodeYaml,
  dotenv: encodeDotenv,
  properties: encodeProperties,
}
