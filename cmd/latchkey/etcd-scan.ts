import type { Command } from 'commander'
import type { AdminContext } from '../../src/admin/context.ts'
import type { CurrentKeyring } from '../../src/admin/keys/current.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import type { EncryptionConfig } from '../../src/storage/encryption-config.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { prefixOf } from './etcd-prefix.ts'
import { openSources, type SourceFlags } from './etcd-sources.ts'
import { repeatable, settle, withEtcd, withKeyring } from './options.ts'

interface Options extends SourceFlags {
  readonly resource: readonly string[]
  readonly expectOnly: readonly string[]
  /** What commander makes of `--no-plaintext`. */
  readonly plaintext: boolean
  readonly history: boolean
  readonly encryptionConfig?: string
  readonly keyring?: string
  readonly localCopy?: string
  readonly root: readonly string[]
  readonly prefix: string
  readonly output: string
}

/** Adds `latchkey etcd scan`. */
export function addEtcdScan(etcd: Command): void {
  const command = etcd
    .command('scan')
    .description('count what is stored under which provider and key; needs no key')
    .addOption(repeatable('--snapshot <file>', 'a snapshot of etcd; again for another etcd'))
  withKeyring(withEtcd(command))
    .addOption(repeatable('--resource <resource>', 'only these: secrets, widgets.example.com'))
    .addOption(repeatable('--expect-only <key id>', 'nothing may be encrypted otherwise'))
    .option('--no-plaintext', 'nothing may be plaintext')
    .option('--history', 'superseded revisions must be as expected, too', false)
    .option('--encryption-config <file>', "the API servers' own: what to expect of each resource")
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .addHelpText('after', exitCodeHelp)
    .action(async (_options, self: Command) => {
      const options = await settle<Options>(self, [])
      await scan(options)
    })
}

const exitCodeHelp = `
With --keyring and --root, each encrypted object is also decrypted, as proof that it can be.
--expect-only counts plaintext as well when --resource or --encryption-config say where to look.

Exit codes:
  0  done, and everything is as expected
  1  the scan could not be done
  2  the command was used wrongly
  4  done, and something is not as expected, or an object did not decrypt`

async function scan(options: Options): Promise<void> {
  const { etcdScan, resourcesOf } = await import('../../src/admin/etcd/scan/command.ts')
  const context = processContext()
  const output = parseOutputFormat(options.output)
  const prefix = prefixOf(options.prefix)
  const resources = resourcesOf(options.resource)
  using opened = await openSources(options, {
    prefix,
    ...(resources === undefined ? {} : { resources }),
  })
  using current = await keyringOf(options, context)
  using config = await configOf(options, context.cwd)
  const expected = await interruptible('run it again: it has changed nothing', (signal) =>
    etcdScan(
      {
        terminal: context.terminal,
        now: context.now,
        sources: opened.sources,
        keyring: current?.keyring,
        config,
        signal,
      },
      { ...options, prefix, noPlaintext: !options.plaintext, output },
    ),
  )
  if (!expected) process.exitCode = exitCodes.unexpected
}

async function keyringOf(
  options: Options,
  context: AdminContext,
): Promise<CurrentKeyring | undefined> {
  const { keyring, root } = options
  if (keyring === undefined) {
    if (root.length === 0) return undefined
    throw new LatchkeyError('ERR_USAGE', '--root is there without --keyring')
  }
  if (root.length === 0) throw new LatchkeyError('ERR_USAGE', '--root is missing')
  const { openCurrent } = await import('../../src/admin/keys/current.ts')
  return await openCurrent(context, { ...options, keyring, root })
}

async function configOf(
  { encryptionConfig }: Options,
  cwd: string,
): Promise<EncryptionConfig | undefined> {
  if (encryptionConfig === undefined) return undefined
  const { readEncryptionConfig } = await import('../../src/admin/etcd/read-encryption-config.ts')
  return await readEncryptionConfig(encryptionConfig, cwd)
}
