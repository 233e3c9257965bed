import { LatchkeyError } from '../../base/errors.ts'
import { SecretBytes } from '../../base/secret.ts'
import { SecretContent } from '../../secrets/content.ts'
import type { SecretTarget } from '../../secrets/reference.ts'
import { confirm } from '../confirm.ts'
import { print, type OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'

/** PORT. The embedded store of secrets, as far as these commands need it; `cmd/` opens it. */
export interface EditableSecrets extends Disposable {
  load(target: SecretTarget): Promise<SecretContent | undefined>
  list(): Promise<readonly SecretTarget[]>
  update(
    target: SecretTarget,
    change: (current: SecretContent | undefined) => SecretContent | undefined,
  ): Promise<void>
}

/**
 * Sets one key of a secret, which is made when there is none. Takes ownership of `value`.
 *
 * @returns What came of it, for a person: that a name is new tells of a typing error.
 */
export async function secretSet(
  secrets: EditableSecrets,
  what: { readonly target: SecretTarget; readonly key: string; readonly value: SecretBytes },
): Promise<string> {
  using value = what.value
  const title = `${what.target.namespace}/${what.target.name}`
  let done = ''
  await secrets.update(what.target, (current) => {
    const replaced = current?.entries.some(({ key }) => key === what.key) === true
    done = replaced ? `${what.key} of ${title} is replaced` : `${what.key} is new in ${title}`
    if (current === undefined) done = `${title} is a new secret, with the key ${what.key}`
    const others = (current?.entries ?? []).filter(({ key }) => key !== what.key)
    return SecretContent.take([
      ...others.map((entry) => ({ key: entry.key, value: entry.value.clone() })),
      { key: what.key, value: value.clone() },
    ])
  })
  return done
}

/** Lists secrets with their keys and sizes, never values. */
export async function secretList(
  secrets: EditableSecrets,
  options: {
    readonly terminal: Terminal
    readonly namespace: string | undefined
    readonly format: OutputFormat
  },
): Promise<void> {
  const found: { namespace: string; name: string; keys: { key: string; bytes: number }[] }[] = []
  for (const target of await secrets.list()) {
    if (options.namespace !== undefined && target.namespace !== options.namespace) continue
    using content = await secrets.load(target)
    const keys = (content?.entries ?? []).map(({ key, value }) => ({
      key,
      bytes: value.byteLength,
    }))
    found.push({ ...target, keys })
  }
  await print(options.terminal, {
    format: options.format,
    value: { secrets: found },
    table: () => [
      ['NAMESPACE', 'NAME', 'KEY', 'BYTES'],
      ...found.flatMap(({ namespace, name, keys }) =>
        keys.map(({ key, bytes }) => [namespace, name, key, String(bytes)]),
      ),
    ],
  })
}

/**
 * Removes a secret, or one key of it, after asking.
 *
 * @throws `ERR_USAGE` when there is no such secret or key; `ERR_ABORTED`.
 */
export async function secretRemove(
  secrets: EditableSecrets,
  options: {
    readonly terminal: Terminal
    readonly target: SecretTarget
    readonly key: string | undefined
    readonly yes: boolean
  },
): Promise<void> {
  const { target, key } = options
  const title = `${target.namespace}/${target.name}`
  using current = await secrets.load(target)
  if (current === undefined) throw new LatchkeyError('ERR_USAGE', `there is no secret ${title}`)
  if (key !== undefined && !current.entries.some((entry) => entry.key === key)) {
    throw new LatchkeyError('ERR_USAGE', `the secret ${title} has no key ${key}`)
  }
  const what = key === undefined ? title : `key ${key} of ${title}`
  await confirm(options.terminal, {
    explanation: [`Removing ${what}: pods that use it lose their files.`],
    yes: options.yes,
  })
  await secrets.update(target, (latest) => {
    const rest = (latest?.entries ?? []).filter((entry) => key !== undefined && entry.key !== key)
    if (rest.length === 0) return undefined
    return SecretContent.take(rest.map((entry) => ({ key: entry.key, value: entry.value.clone() })))
  })
}
