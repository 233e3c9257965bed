import type { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { readKubeconfig } from '../../src/clients/kubeconfig.ts'
import { processContext } from '../process-context.ts'
import { repeatable, settle, withConfig } from './options.ts'

interface Options {
  readonly kubeconfig: string
  readonly resource: readonly string[]
  readonly workers: string
  readonly rate?: string
  readonly dryRun: boolean
  readonly accept: readonly string[]
  readonly output: string
}

/** Adds `latchkey etcd migrate`. */
export function addEtcdMigrate(etcd: Command): void {
  withConfig(etcd.command('migrate'))
    .description(
      'rewrite stale objects through the API server; exits with 4 when some cannot be rewritten',
    )
    .option('--kubeconfig <file>', 'of a user who may get, list and patch the resources')
    .addOption(repeatable('--resource <resource>', 'what to rewrite: secrets, widgets.example.com'))
    .option('--workers <count>', 'most requests at a time; the number adapts below it', '64')
    .option('--rate <count>', 'most objects a second; default: as many as the API server likes')
    .option('--dry-run', 'have the API server try each rewrite and store nothing', false)
    .addOption(
      repeatable(
        '--accept <object>',
        'one that may stay as it is, as it is listed: secrets/shop/db',
      ),
    )
    .option('-o, --output <format>', 'table, json (events, one a line) or yaml', 'table')
    .action(async (_options, command: Command) => {
      const options = await settle<Options>(command, ['kubeconfig', 'resource'])
      const { etcdMigrate } = await import('../../src/admin/etcd/migrate/command.ts')
      const { parseResource } = await import('../../src/admin/etcd/migrate/discovery.ts')
      const workers = count(options.workers, 'workers', 1024)
      const access = await readKubeconfig(options.kubeconfig)
      const client = createKubernetesClient(access, { clock: systemClock, maxRequests: workers })
      const stop = new AbortController()
      const interrupted = (): void => {
        stop.abort(
          new LatchkeyError('ERR_ABORTED', 'stopped', {
            hint: 'run the same command again: it goes on where it was',
          }),
        )
      }
      process.once('SIGINT', interrupted)
      // While every request waits for its time to be repeated, nothing else would keep this running.
      const alive = setInterval(() => undefined, 60_000)
      try {
        const complete = await etcdMigrate(
          {
            terminal: processContext().terminal,
            client,
            stale: undefined,
            clock: systemClock,
            random: Math.random,
            signal: stop.signal,
          },
          {
            resources: [...new Set(options.resource.map(parseResource))],
            workers,
            rate: options.rate === undefined ? undefined : count(options.rate, 'rate', 1_000_000),
            dryRun: options.dryRun,
            accept: options.accept,
            output: parseOutputFormat(options.output),
          },
        )
        if (!complete) process.exitCode = exitCodes.unexpected
      } finally {
        clearInterval(alive)
        process.off('SIGINT', interrupted)
        client.close()
      }
    })
}

function count(text: string, flag: string, most: number): number {
  const number = /^[1-9][0-9]{0,6}$/.test(text) ? Number(text) : Infinity
  if (number <= most) return number
  throw new LatchkeyError('ERR_USAGE', `--${flag} is not a whole number from 1 to ${most}`)
}
