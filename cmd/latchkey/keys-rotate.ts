import type { Command } from 'commander'
import { hostname } from 'node:os'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import type { EtcdFlags } from '../../src/clients/etcd/flags.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { execPlugins } from '../exec-plugins.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { withEtcdClients } from './api-server-etcd.ts'
import { isInEtcd } from '../../src/keyring/place.ts'
import { refuseIdle } from './idle-options.ts'
import { repeatable, settle, withEtcd, withKeyring } from './options.ts'

interface Options extends EtcdFlags {
  readonly keyring: string
  readonly root: readonly string[]
  readonly kubeconfig: string
  readonly server: readonly string[]
  readonly listen?: string
  readonly prefix: string
  readonly canaryNamespace: string
  readonly acceptStuck: readonly string[]
  readonly timeout: string
  readonly requestTimeout: string
  readonly rate?: string
  readonly dryRun: boolean
  readonly yes: boolean
  readonly abort: boolean
  readonly output: string
}

/** Adds `latchkey keys rotate`. */
export function addKeysRotate(keys: Command): void {
  withKeyring(withEtcd(keys.command('rotate')))
    .description(
      'rotate the master key: stage, wait for every member, activate, prove every API server, rewrite, scan etcd, retire; interrupted, it goes on when repeated; exits with 3 when going on could lose data',
    )
    .option('--kubeconfig <file>', 'of an administrator')
    .addOption(repeatable('--server <url>', 'an API server that its Lease does not lead to'))
    .option('--listen <socket>', "the plugin's socket, for a keyring in a directory")
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .option('--canary-namespace <namespace>', 'where canaries are written', 'kube-system')
    .addOption(
      repeatable(
        '--accept-stuck <object>',
        'one that cannot be rewritten and may keep its key, as it is listed: secrets/shop/db',
      ),
    )
    .option('--timeout <seconds>', 'how long to wait for members, and for API servers', '600')
    .option('--request-timeout <seconds>', "the API servers' --request-timeout", '60')
    .option('--rate <count>', 'most objects a second; default: as many as the API server likes')
    .option('--dry-run', 'look, say what would be done, and change nothing', false)
    .option('--abort', 'give up a rotation that has not activated its key', false)
    .option('--yes', 'do not ask', false)
    .option('-o, --output <format>', 'table, or json: events, one a line', 'table')
    .action(async (_options, command: Command) => {
      const options = await settle<Options>(command, ['keyring', 'root', 'kubeconfig', 'etcd'])
      refuseIdleInRotate(command, options)
      const { keysRotate } = await import('../../src/admin/keys/rotate/command.ts')
      const { readKubeconfig } = await import('../../src/clients/kubeconfig.ts')
      const { parseSocketUrl } = await import('../../src/net/socket-path.ts')
      const flags = {
        ...options,
        server: options.server.map(serverUrl),
        socket:
          options.listen === undefined ? undefined : parseSocketUrl(options.listen, '--listen'),
        timeoutMs: wholeNumber(options.timeout, 'timeout') * 1000,
        requestTimeoutMs: wholeNumber(options.requestTimeout, 'request-timeout') * 1000,
        rate: options.rate === undefined ? undefined : wholeNumber(options.rate, 'rate'),
        output: parseOutputFormat(options.output),
      }
      const context = processContext()
      const access = await readKubeconfig(options.kubeconfig, execPlugins)
      // Timers of waits do not keep a process running, and while it waits nothing else may.
      const alive = setInterval(() => undefined, 60_000)
      try {
        await interruptible('repeat the command: it goes on where it was', (signal) =>
          withEtcdClients(options, context, async (etcd) => {
            const holder = `process ${process.pid} on ${hostname()}`
            const clock = systemClock
            const deps = { access, etcd, clock, jitter: Math.random, holder, signal }
            await keysRotate(context, deps, flags)
          }),
        )
      } finally {
        clearInterval(alive)
      }
    })
}

function refuseIdleInRotate(command: Command, { keyring, dryRun, abort }: Options): void {
  if (abort && dryRun) {
    throw new LatchkeyError('ERR_USAGE', '--abort and --dry-run exclude each other', {
      hint: 'say --dry-run alone to see where a rotation stands, and --abort alone to give it up',
    })
  }
  if (!isInEtcd(keyring)) return
  refuseIdle(command, ['listen'], {
    because: 'is for a keyring in a directory, and this one is in etcd',
    hint: 'leave it out: every node that shares the keyring tells there what it has loaded',
  })
}

function serverUrl(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'https:' && url.pathname === '/' && url.search === '') return url.href
  throw new LatchkeyError('ERR_USAGE', '--server is not the URL of an API server', {
    hint: 'write it as in https://10.0.0.1:6443',
  })
}

function wholeNumber(text: string, flag: string): number {
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text)
  throw new LatchkeyError('ERR_USAGE', `--${flag} is not a whole number above 0`)
}
