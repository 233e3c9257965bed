import { resolve } from 'node:path'
import { isLatchkeyError, LatchkeyError } from '../base/errors.ts'
import type { ClusterCredentials } from './kubernetes-access.ts'
import { listOf, objectOf, textOf, textsOf, type JsonObject } from './kubernetes-objects.ts'

/** A command that makes credentials, to be run. */
export interface ExecCommand {
  /** A path, or a name to be looked for in `PATH`. */
  readonly command: string
  readonly args: readonly string[]
  /** Added to the environment. */
  readonly env: Readonly<Record<string, string>>
  /** Whether it may have the terminal: where there is one, never, or it has to. */
  readonly terminal: 'IfAvailable' | 'Never' | 'Always'
}

/** Runs a command and resolves with what it prints. `isInteractive` is given what it may have. */
export type RunExec = (
  command: ExecCommand,
  env: (isInteractive: boolean) => Readonly<Record<string, string>>,
) => Promise<Buffer>

/** Which of a kubeconfig's clusters credentials are for. */
export interface ExecCluster {
  /** The entry's `cluster`. */
  readonly fields: JsonObject
  readonly ca: () => Promise<string | undefined>
}

type Material = Pick<ClusterCredentials, 'cert' | 'key' | 'token'>

const versions = ['v1', 'v1beta1'].map((version) => `client.authentication.k8s.io/${version}`)
const terminals = ['IfAvailable', 'Never', 'Always'] as const
/** Before a token ends it is replaced, so that a request under way does not meet the end. */
const earlyMs = 60_000
/** Name of the extension that a plugin gets as its configuration. */
const extension = 'client.authentication.k8s.io/exec'

/**
 * Credentials made by a command, as `exec` of a kubeconfig's user names it: how the tools of managed
 * clusters log in. They are kept until shortly before they end, and made anew when the API server
 * has refused them.
 *
 * @remarks
 * KEP-541; `client-go/plugin/pkg/client/auth/exec`. Of the command's output nothing is repeated.
 *
 * @throws `ERR_KUBERNETES_CONFIG` for a description that is not one; what is returned throws it when
 * the command fails or prints something else.
 */
export function execCredentials(
  exec: JsonObject,
  options: {
    /** Of the kubeconfig, beside which a relative path begins. */
    readonly path: string
    readonly cluster: ExecCluster
    readonly run: RunExec
    readonly now: () => number
  },
): (refused: boolean) => Promise<Material> {
  const { cluster, run, now } = options
  const apiVersion = textOf(exec, 'apiVersion')
  if (!versions.includes(apiVersion)) {
    throw invalid('exec in the kubeconfig has an apiVersion that is not supported', {
      hint: `update the plugin: ${versions.join(' and ')} are`,
    })
  }
  const command = readCommand(exec, options.path)
  const installHint = printable(textOf(exec, 'installHint'))
  let kept: { readonly material: Material; readonly untilMs: number } | undefined
  return async (refused) => {
    if (kept !== undefined && !refused && now() < kept.untilMs) return kept.material
    const info = exec['provideClusterInfo'] === true ? await clusterInfo(cluster) : {}
    const env = (interactive: boolean): Readonly<Record<string, string>> => {
      const spec = { ...info, interactive }
      return { KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion, kind: 'ExecCredential', spec }) }
    }
    const printed = await run(command, env).catch((error: unknown) => {
      const problem = isLatchkeyError(error) ? error.message : 'cannot be run'
      throw invalid(`the kubeconfig's credential plugin ${problem}`, {
        hint: installHint === '' ? 'try it with: kubectl auth whoami' : installHint,
        cause: error,
      })
    })
    kept = readCredential(printed, apiVersion)
    return kept.material
  }
}

function readCommand(exec: JsonObject, path: string): ExecCommand {
  const command = textOf(exec, 'command')
  if (command === '') throw invalid('exec in the kubeconfig has no command')
  const mode = textOf(exec, 'interactiveMode')
  const terminal = terminals.find((each) => each === mode)
  if (mode !== '' && terminal === undefined) {
    throw invalid('interactiveMode of exec in the kubeconfig is unknown')
  }
  const env = listOf(exec, 'env').map((entry): [string, string] => {
    const fields = objectOf(entry)
    return [textOf(fields, 'name'), textOf(fields, 'value')]
  })
  return {
    command: command.includes('/') ? resolve(path, '..', command) : command,
    args: textsOf(exec, 'args'),
    env: Object.fromEntries(env.filter(([name]) => name !== '')),
    terminal: terminal ?? 'IfAvailable',
  }
}

async function clusterInfo({ fields, ca }: ExecCluster): Promise<JsonObject> {
  const pem = await ca()
  const config = listOf(fields, 'extensions')
    .map(objectOf)
    .find(({ name }) => name === extension)?.['extension']
  const serverName = textOf(fields, 'tls-server-name')
  return {
    cluster: {
      server: textOf(fields, 'server'),
      ...(serverName !== '' && { 'tls-server-name': serverName }),
      ...(pem !== undefined && {
        'certificate-authority-data': Buffer.from(pem).toString('base64'),
      }),
      ...(config !== undefined && { config }),
    },
  }
}

function readCredential(
  printed: Buffer,
  apiVersion: string,
): { readonly material: Material; readonly untilMs: number } {
  let value: unknown
  try {
    value = JSON.parse(printed.toString('utf8'))
  } catch {
    value = undefined
  }
  const credential = objectOf(value)
  if (credential['kind'] !== 'ExecCredential' || credential['apiVersion'] !== apiVersion) {
    throw invalid("the kubeconfig's credential plugin printed no ExecCredential of its version")
  }
  const status = objectOf(credential['status'])
  const member = (name: string): string | undefined => textOf(status, name) || undefined
  const [cert, key] = [member('clientCertificateData'), member('clientKeyData')]
  const material = { cert, key, token: member('token') }
  if ((cert === undefined) !== (key === undefined)) {
    throw invalid("the kubeconfig's credential plugin printed half of a client certificate")
  }
  if (cert === undefined && material.token === undefined) {
    throw invalid("the kubeconfig's credential plugin printed no credentials")
  }
  const endsMs = Date.parse(textOf(status, 'expirationTimestamp'))
  return { material, untilMs: Number.isNaN(endsMs) ? Infinity : endsMs - earlyMs }
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 500)
}

function invalid(
  message: string,
  options: { readonly hint?: string; readonly cause?: unknown } = {},
): LatchkeyError {
  return new LatchkeyError('ERR_KUBERNETES_CONFIG', message, options)
}
