import { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import type { ReplicaTrust } from '../../src/admin/delivery/replicas.ts'
import { replicasBehind } from '../../src/admin/delivery/server-name.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { parseHostPort } from '../../src/base/address.ts'
import { LatchkeyError, systemCode } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import type { KubernetesClient } from '../../src/clients/kubernetes.ts'
import { formatSecretReference, parseSecretReference } from '../../src/secrets/reference.ts'
import { findCluster, type Cluster } from '../cluster.ts'
import { processContext } from '../process-context.ts'
import { refuseIdle } from './idle-options.ts'
import { repeatable, settle, withConfig } from './options.ts'

interface Options {
  readonly broker: readonly string[]
  readonly ca?: string
  readonly token?: string
  readonly account?: string
  readonly audience: string
  readonly system: string
  readonly namespace?: string
  readonly kubeconfig?: string
  readonly output: string
}

const help = `
Every replica of the broker is asked. Without --broker they are found by the kubeconfig and reached
through the API server, as by kubectl port-forward; one that does not answer makes the answer
incomplete, which is said, and the exit code 1.

  latchkey delivery status secret/db -n shop --account viewer
  latchkey delivery status secret/db -n shop --account latchkey-system/latchkey-broker -o json

The broker answers whoever may list the pods of the namespace: ClusterRole view, for example. Its own
account may in every namespace that is enrolled. What the kubeconfig's user must be allowed:

  without --broker    list pods, get and create pods/portforward, in the namespace of --system
  with --account      create serviceaccounts/token in the account's namespace
  without --ca        get mutatingwebhookconfigurations/injector.latchkey.dev
  in every case       list pods in the namespace asked about: against them deliveries are counted

In a pod of the cluster, the headless Service of the install is the name of all replicas:

  latchkey delivery status secret/db -n shop --broker latchkey-broker-replicas.latchkey-system.svc:8443 --ca ca.crt --token token`

/** `latchkey delivery …`: where secrets have arrived. */
export function deliveryCommand(): Command {
  const delivery = new Command('delivery').description('where secrets have arrived')
  withConfig(delivery.command('status'))
    .description('which pods have the newest content of a secret; exits with 1 while some do not')
    .argument('<secret/name>', 'the secret, as in secret/db')
    .option('-n, --namespace <namespace>', "default: the kubeconfig's")
    .option('--account <[namespace/]name>', 'ask as this service account, by a token of 10 minutes')
    .option('--token <file>', 'or by this token, for the audience of the broker')
    .option('--audience <name>', "the broker's --audience, for --account", 'latchkey')
    .option('--system <namespace>', 'where the broker runs', 'latchkey-system')
    .addOption(repeatable('--broker <host:port>', 'the brokers; of a name, every address is asked'))
    .option(
      '--ca <file>',
      "authorities of the brokers' certificates, PEM; default: those of the webhook",
    )
    .option('--kubeconfig <file>', 'default: as kubectl finds it')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText('after', help)
    .action(async (name: string, _options, command: Command) => {
      const options = await settle<Options>(command, [])
      refuseIdleInStatus(command, options)
      const secret = secretOf(name)
      const output = parseOutputFormat(options.output)
      const cluster = await findCluster(options.kubeconfig)
      try {
        const complete = await run(options, { secret, output, cluster })
        if (!complete) process.exitCode = exitCodes.failed
      } finally {
        cluster?.client.close()
      }
    })
  return delivery
}

function refuseIdleInStatus(command: Command, { token, broker }: Options): void {
  if (token !== undefined) {
    refuseIdle(command, ['audience'], {
      because: 'is for the token of --account, and --token is another',
      hint: 'leave it out: the token was made for its audience',
    })
  }
  if (broker.length > 0) {
    refuseIdle(command, ['system'], {
      because: 'is where brokers are looked for, and --broker names them',
      hint: 'leave out the one or the other',
    })
  }
}

async function run(
  options: Options,
  asked: {
    readonly secret: string
    readonly output: ReturnType<typeof parseOutputFormat>
    readonly cluster: Cluster | undefined
  },
): Promise<boolean> {
  const { secret, output, cluster } = asked
  const { replicasAt, replicasIn } = await import('../../src/admin/delivery/replicas.ts')
  const { deliveryStatus } = await import('../../src/admin/delivery/status.ts')
  const namespace = options.namespace ?? cluster?.namespace ?? 'default'
  const { signal } = new AbortController()
  const named = options.broker.map((text) => parseHostPort(text, 'broker'))
  using token = await tokenOf(options, { namespace, cluster, signal })
  const trust: ReplicaTrust = { token, ca: await authoritiesOf(options, cluster, signal) }
  const client = cluster?.client
  const replicas =
    named.length > 0
      ? await replicasAt(named, trust)
      : await replicasIn(options.system, { ...trust, client: clientOf(cluster, 'broker'), signal })
  const { terminal } = processContext()
  for (const { host } of named) {
    const behind = replicasBehind(host)
    if (behind === undefined) continue
    terminal.say(`warning: ${host} reaches one replica, whichever: ask all by --broker ${behind}`)
  }
  return await deliveryStatus(
    { terminal, cluster: client, signal, replicas },
    { namespace, secret, output },
  )
}

async function tokenOf(
  options: Options,
  deps: {
    readonly namespace: string
    readonly cluster: Cluster | undefined
    readonly signal: AbortSignal
  },
): Promise<SecretBytes> {
  const { account, token, audience } = options
  if (token !== undefined && account !== undefined) {
    throw new LatchkeyError('ERR_USAGE', 'give --account or --token, not both')
  }
  if (token !== undefined) return SecretBytes.take(await read(token, 'token'))
  if (account === undefined) {
    throw new LatchkeyError('ERR_USAGE', 'neither --account nor --token is given', {
      hint: 'name a service account that may list the pods of the namespace, as in --account viewer',
    })
  }
  const { accountToken, parseAccount } = await import('../../src/admin/delivery/account-token.ts')
  return await accountToken(clientOf(deps.cluster, 'token'), {
    account: parseAccount(account, deps.namespace),
    audience,
    signal: deps.signal,
  })
}

async function authoritiesOf(
  { ca }: Options,
  cluster: Cluster | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  if (ca !== undefined) return await read(ca, 'ca')
  const { publishedAuthorities } = await import('../../src/admin/delivery/authorities.ts')
  return await publishedAuthorities(clientOf(cluster, 'ca'), signal)
}

function clientOf(cluster: Cluster | undefined, instead: string): KubernetesClient {
  if (cluster !== undefined) return cluster.client
  throw new LatchkeyError('ERR_KUBERNETES_CONFIG', 'no kubeconfig was found', {
    hint: `name one with --kubeconfig, or do without it by --${instead}`,
  })
}

function secretOf(text: string): string {
  const name = /^secrets?\/(.+)$/s.exec(text)?.[1]
  if (name !== undefined) return formatSecretReference(parseSecretReference(name))
  throw new LatchkeyError('ERR_USAGE', 'the secret is not named as secret/NAME', {
    hint: 'write, for example: latchkey delivery status secret/db',
  })
}

async function read(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const reason = systemCode(error) ?? 'unreadable'
    throw new LatchkeyError('ERR_CONFIG_INVALID', `--${flag} ${path}: ${reason}`)
  }
}
