import { binary } from './binaries.ts'
import type { Ground } from './ground.ts'
import { runOk } from './run-program.ts'

/** One call of {@link transform}. */
export interface TransformRequest {
  readonly op: 'write' | 'read'
  /** The etcd key. */
  readonly key: string
  readonly value: Buffer
  /** Only for KMS v2 and writing: a seed (default), or a key as Kubernetes 1.27 and 1.28 have it. */
  readonly dek?: 'seed' | 'key'
}

/** What the API server's code makes of it. */
export type Transformed =
  { readonly value: Buffer; readonly stale: boolean } | { readonly error: string }

/**
 * Runs the API server's own transformers of one resource (`test/e2e/tools/transformer`) over a list
 * of values, with the EncryptionConfiguration at `config`.
 */
export async function transform(
  ground: Ground,
  options: { readonly config: string; readonly resource: string },
  requests: readonly TransformRequest[],
): Promise<readonly Transformed[]> {
  const lines = requests.map(({ value, ...rest }) =>
    JSON.stringify({ ...rest, value: value.toString('base64') }),
  )
  const stdout = await runOk(ground, {
    command: await binary('transformer'),
    args: [options.config, options.resource],
    stdin: `${lines.join('\n')}\n`,
  })
  const answers = stdout.split('\n').filter((line) => line !== '')
  if (answers.length !== requests.length) throw new Error('the transformer left answers out')
  return answers.map((line) => {
    const {
      value = '',
      stale = false,
      error,
    } = JSON.parse(line) as {
      value?: string
      stale?: boolean
      error?: string
    }
    return error === undefined ? { value: Buffer.from(value, 'base64'), stale } : { error }
  })
}
