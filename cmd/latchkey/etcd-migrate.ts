import type { Command } from 'commander'
import type { MigrateDeps } from '../../src/admin/etcd/migrate/command.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { systemClock } from '../../src/base/clock.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { EtcdFlags } from '../../src/clients/etcd/flags.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { readKubeconfig } from '../../src/clients/kubeconfig.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { execPlugins } from '../exec-plugins.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { prefixOf } from './etcd-prefix.ts'
import { refuseIdle } from './idle-options.ts'
import { repeatable, settle, withConfig, withEtcd } from './options.ts'

interface Options extends EtcdFlags {
  readonly kubeconfig: string
  readonly resource: readonly string[]
  readonly allEncrypted: boolean
  readonly encryptionConfig?: string
  readonly expectOnly: readonly string[]
  readonly prefix: string
  readonly workers: string
  readonly rate?: string
  readonly dryRun: boolean
  readonly accept: readonly string[]
  readonly output: string
}

const afterHelp = `
An object is rewritten by a patch that changes nothing: its content stays, what is deleted stays
deleted, and what others write at the same time stays written. Without --etcd every object is asked
for, and the API server leaves alone what is not stale. With --etcd exactly those objects are asked
for that are stale there, and etcd is read again until it holds none. Interrupted, or killed, it is
run again and goes on.

Exit codes:
  0  done
  1  it could not be done; run it again when the cause is mended
  2  the command was used wrongly
  4  done, but for objects that cannot be rewritten, which are listed by cause`

/** Adds `latchkey etcd migrate`. */
export function addEtcdMigrate(etcd: Command): void {
  withEtcd(withConfig(etcd.command('migrate')))
    .description('rewrite stale objects through the API server')
    .option('--kubeconfig <file>', 'of a user who may get, list and patch the resources')
    .addOption(repeatable('--resource <resource>', 'what to rewrite: secrets, widgets.example.com'))
    .option('--all-encrypted', 'all that --encryption-config encrypts and --etcd holds', false)
    .option('--encryption-config <file>', "the API servers' own: what to expect of each resource")
    .addOption(
      repeatable(
        '--expect-only <key id>',
        'what is under it is not stale; default: as written now',
      ),
    )
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
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
    .addHelpText('after', afterHelp)
    .action(async (_options, command: Command) => {
      const options = await settle<Options>(command, ['kubeconfig'])
      if (options.etcd.length === 0) {
        refuseIdle(command, ['prefix'], {
          because: 'does nothing without --etcd',
          hint: 'leave it out: API servers know their own prefix',
        })
      }
      await run(options)
    })
}

async function run(options: Options): Promise<void> {
  checkUse(options)
  const { etcdMigrate } = await import('../../src/admin/etcd/migrate/command.ts')
  const { parseResource } = await import('../../src/admin/etcd/migrate/discovery.ts')
  const named = options.resource.map(parseResource)
  const workers = count(options.workers, 'workers', 1024)
  const rate = options.rate === undefined ? undefined : count(options.rate, 'rate', 1_000_000)
  const output = parseOutputFormat(options.output)
  const client = createKubernetesClient(await readKubeconfig(options.kubeconfig, execPlugins), {
    clock: systemClock,
    maxRequests: workers,
  })
  using closing = new DisposableStack()
  closing.defer(() => {
    client.close()
  })
  // While every request waits for its time to be repeated, nothing else would keep this running.
  const alive = setInterval(() => undefined, 60_000)
  closing.defer(() => {
    clearInterval(alive)
  })
  const complete = await interruptible(
    'run the same command again: it goes on where it was',
    async (signal) => {
      const common = { client, clock: systemClock, random: Math.random, signal }
      const etcd = await viewOf(options, common, closing)
      const all = options.allEncrypted ? await etcd?.resources() : []
      return await etcdMigrate(
        { ...common, terminal: processContext().terminal, stale: etcd?.stale },
        {
          resources: [...new Set([...named, ...(all ?? [])])],
          workers,
          rate,
          dryRun: options.dryRun,
          accept: options.accept,
          output,
        },
      )
    },
  )
  if (!complete) process.exitCode = exitCodes.unexpected
}

function checkUse(options: Options): void {
  const { resource, allEncrypted, etcd, encryptionConfig, expectOnly, dryRun } = options
  const wrong = (message: string, hint: string): LatchkeyError =>
    new LatchkeyError('ERR_USAGE', message, { hint })
  if (resource.length === 0 && !allEncrypted) {
    throw wrong('--resource is missing', 'name what to rewrite, as in --resource secrets')
  }
  const needsEtcd = allEncrypted || encryptionConfig !== undefined || expectOnly.length > 0
  if (needsEtcd && etcd.length === 0) {
    throw wrong(
      '--all-encrypted, --encryption-config and --expect-only need --etcd',
      'add --etcd https://HOST:2379 with --etcd-ca, --etcd-cert and --etcd-key',
    )
  }
  if (allEncrypted && encryptionConfig === undefined) {
    throw wrong('--all-encrypted needs --encryption-config', "name the API servers' own file")
  }
  if (dryRun && etcd.length > 0 && expectOnly.length === 0) {
    throw wrong(
      '--dry-run with --etcd needs --expect-only',
      'to find out under which key the API server writes, something would have to be written',
    )
  }
}

interface View {
  readonly stale: NonNullable<MigrateDeps['stale']>
  resources(): Promise<readonly string[]>
}

async function viewOf(
  options: Options,
  deps: Pick<MigrateDeps, 'client' | 'clock' | 'random' | 'signal'>,
  closing: DisposableStack,
): Promise<View | undefined> {
  if (options.etcd.length === 0) return undefined
  const { parseEtcdFlags } = await import('../../src/clients/etcd/flags.ts')
  const { openEtcdClusters } = await import('../../src/clients/etcd/open.ts')
  const { readEncryptionConfig } = await import('../../src/admin/etcd/read-encryption-config.ts')
  const { encryptedResources, staleInEtcd } =
    await import('../../src/admin/etcd/migrate/etcd-view.ts')
  const cwd = process.cwd()
  const { encryptionConfig } = options
  const config =
    encryptionConfig === undefined ? undefined : await readEncryptionConfig(encryptionConfig, cwd)
  if (config !== undefined) closing.use(config)
  const etcds = await openEtcdClusters(parseEtcdFlags(options, cwd), {
    clock: systemClock,
    random: createRandomPool(),
  })
  for (const etcd of etcds) closing.use(etcd)
  const keyIds = new Set(options.expectOnly)
  const view = { etcds, prefix: prefixOf(options.prefix), keyIds, config }
  return {
    stale: staleInEtcd(view, deps),
    resources: () => encryptedResources(view, deps.signal),
  }
}

function count(text: string, flag: string, most: number): number {
  const number = /^[1-9][0-9]{0,6}$/.test(text) ? Number(text) : Infinity
  if (number <= most) return number
  throw new LatchkeyError('ERR_USAGE', `--${flag} is not a whole number from 1 to ${most}`)
}
