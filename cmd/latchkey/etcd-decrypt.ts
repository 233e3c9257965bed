import type { Command } from 'commander'
import { resolve } from 'node:path'
import { exitCodes } from '../../src/base/exit-code.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { defaultPrefix } from '../../src/storage/resource.ts'
import { interruptible } from '../interruptible.ts'
import { processContext } from '../process-context.ts'
import { prefixOf } from './etcd-prefix.ts'
import { settle, withBackup, withConfig } from './options.ts'

interface Options {
  readonly snapshot: string
  readonly backup?: string
  readonly passphraseFile?: string
  readonly share: readonly string[]
  readonly encryptionConfig?: string
  readonly all: boolean
  readonly out?: string
  readonly reveal: boolean
  readonly prefix: string
}

/** Adds `latchkey etcd decrypt`. */
export function addEtcdDecrypt(etcd: Command): void {
  withConfig(withBackup(etcd.command('decrypt')))
    .description('take objects out of a snapshot with a key backup alone')
    .argument(
      '[key...]',
      'as in etcd: /registry/secrets/NAMESPACE/NAME; with / at the end, all below',
    )
    .option('--snapshot <file>', 'the snapshot of etcd')
    .option('--backup <file>', 'the backup of the keyring')
    .option(
      '--encryption-config <file>',
      "the API servers' own, for what other providers encrypted",
    )
    .option('--all', 'every object', false)
    .option('--out <directory>', 'where to; it must be empty or not there')
    .option('--reveal', 'show one object on stdout', false)
    .option('--prefix <prefix>', "the API servers' --etcd-prefix", defaultPrefix)
    .addHelpText('after', afterHelp)
    .action(async (keys: readonly string[], _options, self: Command) => {
      await decrypt(keys, await settle<Options>(self, ['snapshot']))
    })
}

const afterHelp = `
Each object becomes a directory RESOURCE/NAMESPACE/NAME with the bytes that the API server had
stored (object.pb or object.json); a Secret also with secret.json, which "kubectl apply -f" takes,
and data/KEY for each of its keys. Files have mode 0600. index.jsonl lists them, and is there only
when everything was written.

Exit codes:
  0  done, and every object that was asked for was extracted
  1  it could not be done
  2  the command was used wrongly
  4  done, but some object was not there or did not open`

async function decrypt(keys: readonly string[], options: Options): Promise<void> {
  const { etcdDecrypt } = await import('../../src/admin/etcd/decrypt/command.ts')
  const { snapshotSource } = await import('../../src/admin/etcd/snapshot-source.ts')
  const { openBackup } = await import('../../src/admin/keys/open-backup.ts')
  const { readEncryptionConfig } = await import('../../src/admin/etcd/read-encryption-config.ts')
  const context = processContext()
  const { backup: from, passphraseFile, share, encryptionConfig, out } = options
  if (from === undefined && (passphraseFile !== undefined || share.length > 0)) {
    throw new LatchkeyError('ERR_USAGE', '--backup is missing')
  }
  using config =
    encryptionConfig === undefined
      ? undefined
      : await readEncryptionConfig(encryptionConfig, context.cwd)
  using backup =
    from === undefined ? undefined : await openBackup(context, { from, passphraseFile, share })
  const complete = await interruptible('name another --out and run it again', (signal) =>
    etcdDecrypt(
      {
        ...context,
        source: snapshotSource(resolve(context.cwd, options.snapshot)),
        backup,
        config,
        signal,
        reveal: async (bytes) => {
          await new Promise<void>((done) => {
            process.stdout.write(bytes, () => {
              done()
            })
          })
        },
      },
      {
        keys,
        all: options.all,
        out: out === undefined ? undefined : resolve(context.cwd, out),
        reveal: options.reveal,
        prefix: prefixOf(options.prefix),
      },
    ),
  )
  if (!complete) process.exitCode = exitCodes.unexpected
}
