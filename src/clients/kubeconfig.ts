import { resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { LatchkeyError } from '../base/errors.ts'
import { execCredentials, type RunExec } from './exec-credential.ts'
import { readCredential, type ClusterAccess } from './kubernetes-access.ts'

type Fields = Readonly<Record<string, unknown>>

/**
 * Access as the current context of a kubeconfig has it: certificate authority, client certificate,
 * token or token file, inline or by path.
 *
 * @remarks
 * What would weaken the connection is refused by name: `auth-provider` plugins,
 * `insecure-skip-tls-verify`, passwords, proxies. So are `exec` plugins, unless they are given what
 * runs them, as the programs of people are and servers are not. Plain HTTP is for loopback only.
 *
 * @throws `ERR_KUBERNETES_CONFIG`.
 */
export async function readKubeconfig(path: string, plugins?: Plugins): Promise<ClusterAccess> {
  return parseKubeconfig(await readCredential(path), path, plugins)
}

/** What makes `exec` plugins possible. */
export interface Plugins {
  readonly run: RunExec
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** As {@link readKubeconfig}, from text; relative paths in it start beside `path`. */
export function parseKubeconfig(text: string, path: string, plugins?: Plugins): ClusterAccess {
  const config = document(text, path)
  const current = field(config, 'current-context')
  const context = named(config, { list: 'contexts', name: current, member: 'context' })
  const cluster = named(config, {
    list: 'clusters',
    name: field(context, 'cluster'),
    member: 'cluster',
  })
  const user = named(config, { list: 'users', name: field(context, 'user'), member: 'user' })
  refuse(cluster, ['insecure-skip-tls-verify', 'proxy-url'])
  if (plugins === undefined) refuse(user, ['exec'])
  refuse(user, ['auth-provider', 'username', 'password', 'as', 'as-uid', 'as-groups'])
  const material = (fields: Fields, name: string): (() => Promise<string | undefined>) => {
    const data = optional(fields, `${name}-data`)
    if (data !== undefined) {
      const decoded = Buffer.from(data, 'base64').toString('utf8')
      return async () => decoded
    }
    const file = optional(fields, name)
    return async () => (file === undefined ? undefined : readCredential(resolve(path, '..', file)))
  }
  const ca = material(cluster, 'certificate-authority')
  const cert = material(user, 'client-certificate')
  const key = material(user, 'client-key')
  const token = optional(user, 'token')
  const tokenFile = optional(user, 'tokenFile')
  const exec = fieldsOf(user['exec'])
  const execute =
    exec === undefined || plugins === undefined
      ? undefined
      : execCredentials(exec, { ...plugins, path, cluster: { fields: cluster, ca } })
  return {
    server: serverOf(field(cluster, 'server')),
    serverName: optional(cluster, 'tls-server-name'),
    credentials: async (refused = false) => {
      // As client-go has it, the plugin is asked only where nothing else is given.
      const given = {
        cert: await cert(),
        key: await key(),
        token:
          tokenFile === undefined
            ? token
            : (await readCredential(resolve(path, '..', tokenFile))).trim(),
      }
      const isGiven = given.cert !== undefined || given.token !== undefined
      const material = isGiven ? given : await execute?.(refused)
      return { ca: await ca(), ...(material ?? given) }
    },
  }
}

/**
 * The namespace in which the current context works; `undefined` when it names none.
 *
 * @throws `ERR_KUBERNETES_CONFIG`.
 */
export async function readContextNamespace(path: string): Promise<string | undefined> {
  const config = document(await readCredential(path), path)
  const name = field(config, 'current-context')
  return optional(named(config, { list: 'contexts', name, member: 'context' }), 'namespace')
}

function document(text: string, path: string): Fields {
  let value: unknown
  try {
    value = parseYaml(text)
  } catch (error) {
    throw new LatchkeyError('ERR_KUBERNETES_CONFIG', `${path} is not YAML`, { cause: error })
  }
  return fieldsOf(value) ?? invalid(`${path} is not a kubeconfig`)
}

function named(
  config: Fields,
  options: { readonly list: string; readonly name: string; readonly member: string },
): Fields {
  const list = config[options.list]
  const entry = Array.isArray(list)
    ? list.map(fieldsOf).find((it) => it?.['name'] === options.name)
    : undefined
  return (
    fieldsOf(entry?.[options.member]) ??
    invalid(`the kubeconfig has no entry of its current context's name in ${options.list}`)
  )
}

function field(fields: Fields, name: string): string {
  return optional(fields, name) ?? invalid(`the kubeconfig has no ${name}`)
}

function optional(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : invalid(`${name} in the kubeconfig is not text`)
}

function refuse(fields: Fields, names: readonly string[]): void {
  for (const name of names) {
    const value = fields[name]
    if (value === undefined || value === null || value === false || value === '') continue
    throw new LatchkeyError('ERR_KUBERNETES_CONFIG', `${name} in the kubeconfig is not supported`, {
      hint: 'use a client certificate, a token or a token file, and a certificate authority',
    })
  }
}

function serverOf(text: string): URL {
  const url = URL.parse(text) ?? invalid('server in the kubeconfig is not a URL')
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url.protocol === 'https:' || (url.protocol === 'http:' && loopback)) return url
  throw new LatchkeyError('ERR_KUBERNETES_CONFIG', 'server in the kubeconfig is not https', {
    hint: 'a token must not travel in the clear; plain http is for loopback only',
  })
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : undefined
}

function invalid(message: string): never {
  throw new LatchkeyError('ERR_KUBERNETES_CONFIG', message, {
    hint: 'check it with "kubectl config view --minify"',
  })
}
