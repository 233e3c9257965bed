import { Command } from 'commander'
import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { expectedName } from '../../src/admin/delivery/server-name.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { parseHostPort, type HostPort } from '../../src/base/address.ts'
import { LatchkeyError, systemCode } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { formatSecretReference, parseSecretReference } from '../../src/secrets/reference.ts'
import { findCluster } from '../cluster.ts'
import { processContext } from '../process-context.ts'
import { repeatable, settle, withConfig } from './options.ts'

interface Options {
  readonly broker: readonly string[]
  readonly ca: string
  readonly token: string
  readonly namespace?: string
  readonly kubeconfig?: string
  readonly output: string
}

/** `latchkey delivery …`: where secrets have arrived. */
export function deliveryCommand(): Command {
  const delivery = new Command('delivery').description('where secrets have arrived')
  withConfig(delivery.command('status'))
    .description('which pods have the newest content of a secret; exits with 1 while some do not')
    .argument('<secret/name>', 'the secret, as in secret/db')
    .addOption(repeatable('--broker <host:port>', 'the brokers; of a name, every address is asked'))
    .option('--ca <file>', 'certificate authorities of the brokers, PEM')
    .option(
      '--token <file>',
      'a token for audience latchkey: kubectl create token … --audience latchkey',
    )
    .option('-n, --namespace <namespace>', "default: the kubeconfig's")
    .option('--kubeconfig <file>', 'default: as kubectl finds it')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText(
      'after',
      `
In a pod of the cluster, the headless Service of the install is the name of all replicas:

  latchkey delivery status secret/db -n shop --broker latchkey-broker-replicas.latchkey-system.svc:8443 --ca ca.crt --token token`,
    )
    .action(async (name: string, _options, command: Command) => {
      const options = await settle<Options>(command, ['broker', 'ca', 'token'])
      const { deliveryStatus } = await import('../../src/admin/delivery/status.ts')
      const { askBrokerStatus } = await import('../../src/clients/broker-status.ts')
      const secret = secretOf(name)
      const ca = await read(options.ca, 'ca')
      using token = SecretBytes.take(await read(options.token, 'token'))
      const cluster = await findCluster(options.kubeconfig)
      const namespace = options.namespace ?? cluster?.namespace ?? 'default'
      const named = options.broker.map((text) => parseHostPort(text, 'broker'))
      const replicas = (await Promise.all(named.map(addressesOf))).flat()
      try {
        const complete = await deliveryStatus(
          {
            terminal: processContext().terminal,
            cluster: cluster?.client,
            signal: new AbortController().signal,
            ask: (broker) =>
              askBrokerStatus({
                broker,
                serverName: replicas.find((it) => it.address === broker)?.name ?? broker.host,
                ca,
                token,
                namespace,
                secret,
                timeoutMs: 10_000,
              }),
          },
          {
            namespace,
            secret,
            brokers: replicas.map(({ address }) => address),
            output: parseOutputFormat(options.output),
          },
        )
        if (!complete) process.exitCode = exitCodes.failed
      } finally {
        cluster?.client.close()
      }
    })
  return delivery
}

function secretOf(text: string): string {
  const name = /^secrets?\/(.+)$/s.exec(text)?.[1]
  if (name !== undefined) return formatSecretReference(parseSecretReference(name))
  throw new LatchkeyError('ERR_USAGE', 'the secret is not named as secret/NAME', {
    hint: 'write, for example: latchkey delivery status secret/db',
  })
}

/** Behind the name of a headless Service stand all replicas: each is asked. */
async function addressesOf(
  named: HostPort,
): Promise<readonly { readonly address: HostPort; readonly name: string }[]> {
  try {
    const found = await lookup(named.host, { all: true })
    return found.map(({ address }) => ({
      address: { host: address, port: named.port },
      name: expectedName(named.host),
    }))
  } catch (error) {
    const reason = systemCode(error) ?? 'unknown error'
    throw new LatchkeyError('ERR_BROKER_UNREACHABLE', `${named.host} has no address (${reason})`)
  }
}

async function read(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const reason = systemCode(error) ?? 'unreadable'
    throw new LatchkeyError('ERR_CONFIG_INVALID', `--${flag} ${path}: ${reason}`)
  }
}
