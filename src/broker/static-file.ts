import { parse as parseYaml } from 'yaml'
import { LatchkeyError } from '../base/errors.ts'
import { isNamespaceName, isSecretName, parseSecretReference } from '../secrets/reference.ts'

/** A service account of a static file, and what it may mount. */
export interface StaticAccount {
  readonly namespace: string
  readonly name: string
  /** References, `db` or `vault:db`. */
  readonly mount: readonly string[]
}

/** A pod of a static file. */
export interface StaticPod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly account: string
  /** SHA-256 of the pod's token, hex. */
  readonly tokenSha256: string
}

/** Somebody who may see the delivery status of some namespaces. */
export interface StaticViewer {
  readonly name: string
  readonly tokenSha256: string
  readonly namespaces: readonly string[]
}

/** A static file, parsed: the stand-in for an API server. */
export interface StaticFile {
  readonly accounts: readonly StaticAccount[]
  readonly pods: readonly StaticPod[]
  readonly viewers: readonly StaticViewer[]
}

/** Largest static file, in bytes. */
export const maxStaticFileBytes = 1_048_576

/**
 * Reads the file of `--auth static:FILE`, YAML:
 *
 * ```yaml
 * accounts:
 *   - { namespace: shop, name: web, mount: [db, tls] }
 * pods:
 *   - { namespace: shop, name: web-0, uid: 5f0c…, account: web, tokenSha256: 9f86d0… }
 * viewers:
 *   - { name: me, tokenSha256: 60303a…, namespaces: [shop] }
 * ```
 *
 * Tokens themselves are not in it, only what they hash to. Unknown fields are refused.
 *
 * @throws `ERR_CONFIG_INVALID`, naming the field.
 */
export function parseStaticFile(text: string): StaticFile {
  const file = fieldsOf(yamlOf(text), 'the file', ['accounts', 'pods', 'viewers'])
  const accounts = listOf(file['accounts'], 'accounts', account)
  const pods = listOf(file['pods'], 'pods', pod)
  const viewers = listOf(file['viewers'], 'viewers', viewer)
  const tokens = [...pods, ...viewers].map(({ tokenSha256 }) => tokenSha256)
  if (new Set(tokens).size < tokens.length) throw invalid('tokenSha256', 'is there twice')
  const known = new Set(accounts.map(({ namespace, name }) => `${namespace}/${name}`))
  if (known.size < accounts.length) throw invalid('accounts', 'has an account twice')
  for (const [index, it] of pods.entries()) {
    if (known.has(`${it.namespace}/${it.account}`)) continue
    throw invalid(`pods[${index}].account`, 'is not in accounts')
  }
  return { accounts, pods, viewers }
}

function account(value: unknown, at: string): StaticAccount {
  const fields = fieldsOf(value, at, ['namespace', 'name', 'mount'])
  return {
    namespace: textOf(fields, 'namespace', { at, valid: isNamespaceName }),
    name: textOf(fields, 'name', { at, valid: isSecretName }),
    mount: listOf(fields['mount'], `${at}.mount`, (it, place) => {
      if (typeof it === 'string' && isReference(it)) return it
      throw invalid(place, 'is no reference to a secret')
    }),
  }
}

function pod(value: unknown, at: string): StaticPod {
  const fields = fieldsOf(value, at, ['namespace', 'name', 'uid', 'account', 'tokenSha256'])
  return {
    namespace: textOf(fields, 'namespace', { at, valid: isNamespaceName }),
    name: textOf(fields, 'name', { at, valid: isSecretName }),
    uid: textOf(fields, 'uid', { at, valid: (it) => /^[A-Za-z0-9-]{1,64}$/.test(it) }),
    account: textOf(fields, 'account', { at, valid: isSecretName }),
    tokenSha256: textOf(fields, 'tokenSha256', { at, valid: isDigest }),
  }
}

function viewer(value: unknown, at: string): StaticViewer {
  const fields = fieldsOf(value, at, ['name', 'tokenSha256', 'namespaces'])
  return {
    name: textOf(fields, 'name', { at, valid: (it) => /^[\x20-\x7e]{1,253}$/.test(it) }),
    tokenSha256: textOf(fields, 'tokenSha256', { at, valid: isDigest }),
    namespaces: listOf(fields['namespaces'], `${at}.namespaces`, (it, place) => {
      if (typeof it === 'string' && isNamespaceName(it)) return it
      throw invalid(place, 'is no name of a namespace')
    }),
  }
}

function yamlOf(text: string): unknown {
  try {
    return parseYaml(text) ?? {}
  } catch (error) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'the static file is not YAML', { cause: error })
  }
}

function fieldsOf(
  value: unknown,
  at: string,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(at, 'is no mapping')
  }
  const unknown = Object.keys(value).find((name) => !known.includes(name))
  if (unknown !== undefined) throw invalid(at, `has an unknown field ${JSON.stringify(unknown)}`)
  return value as Readonly<Record<string, unknown>>
}

function listOf<T>(
  value: unknown,
  at: string,
  item: (value: unknown, at: string) => T,
): readonly T[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(at, 'is no list')
  return value.map((it, index) => item(it, `${at}[${index}]`))
}

function textOf(
  fields: Readonly<Record<string, unknown>>,
  name: string,
  options: { readonly at: string; readonly valid: (text: string) => boolean },
): string {
  const value = fields[name]
  if (typeof value === 'string' && options.valid(value)) return value
  throw invalid(`${options.at}.${name}`, value === undefined ? 'is missing' : 'is not valid')
}

function isReference(text: string): boolean {
  try {
    parseSecretReference(text)
    return true
  } catch {
    return false
  }
}

function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

function invalid(at: string, what: string): LatchkeyError {
  return new LatchkeyError('ERR_CONFIG_INVALID', `static file: ${at} ${what}`)
}
