import { Command } from 'commander'
import { createReadStream } from 'node:fs'
import { LatchkeyError } from '../../src/base/errors.ts'
import { concat } from '../../src/base/bytes.ts'
import { parseSecretTarget } from '../../src/secrets/reference.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import type { EditableSecrets } from '../../src/admin/secret/secret.ts'
import { processContext } from '../process-context.ts'
import { settle, withConfig } from './options.ts'

const maxValueBytes = 1_048_576
const required = ['store', 'store-root'] as const

interface StoreFlags {
  readonly store: string
  readonly storeRoot: string
}

/** `latchkey secret …`: the embedded, encrypted store that `latchkey-broker --source file:DIR` serves. */
export function secretCommand(): Command {
  const secret = new Command('secret').description('secrets in the embedded, encrypted store')
  withStore(secret.command('set'))
    .description('set one key of a secret; the value comes from stdin or a file')
    .argument('<namespace/name>', 'the secret')
    .argument('<key>', 'the key')
    .option('--from-file <file>', 'read the value from a file instead of stdin')
    .option('--chomp', 'drop one line feed at the end of the value', false)
    .option('--allow-empty', 'take an empty value too, which is refused otherwise', false)
    .action(async (name: string, key: string, _options, command: Command) => {
      const { secretSet } = await import('../../src/admin/secret/secret.ts')
      const target = parseSecretTarget(name)
      const flags = await settle<StoreFlags & ValueFlags>(command, required)
      const value = await readValue(flags)
      using secrets = await open(flags, true)
      const done = await secretSet(secrets, { target, key, value })
      processContext().terminal.say(done)
    })
  withStore(secret.command('list'))
    .description('list secrets, their keys and sizes; never values')
    .argument('[namespace]', 'only this namespace')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (namespace: string | undefined, _options, command: Command) => {
      const { secretList } = await import('../../src/admin/secret/secret.ts')
      const flags = await settle<StoreFlags & { output: string }>(command, required)
      using secrets = await open(flags, false)
      const { terminal } = processContext()
      const format = parseOutputFormat(flags.output)
      await secretList(secrets, { terminal, namespace, format })
    })
  withStore(secret.command('remove'))
    .description('remove a secret, or one key of it')
    .argument('<namespace/name>', 'the secret')
    .argument('[key]', 'only this key')
    .option('--yes', 'do not ask', false)
    .action(async (name: string, key: string | undefined, _options, command: Command) => {
      const { secretRemove } = await import('../../src/admin/secret/secret.ts')
      const target = parseSecretTarget(name)
      const flags = await settle<StoreFlags & { yes: boolean }>(command, required)
      using secrets = await open(flags, false)
      const { terminal } = processContext()
      await secretRemove(secrets, { terminal, target, key, yes: flags.yes })
    })
  return secret
}

interface ValueFlags {
  readonly fromFile: string | undefined
  readonly chomp: boolean
  readonly allowEmpty: boolean
}

function withStore(command: Command): Command {
  return withConfig(
    command
      .option('--store <dir>', 'directory of the store')
      .option('--store-root <root>', 'what opens it: file:FILE, in a directory of its own'),
  )
}

async function open(flags: StoreFlags, create: boolean): Promise<EditableSecrets> {
  const { openSecretStore } = await import('../../src/secrets/sources/open.ts')
  const deps = processContext()
  return openSecretStore(flags.store, { storeRoot: flags.storeRoot, create, deps })
}

/** An empty value is nearly always what a command left behind that failed, or a file not yet written. */
async function readValue(flags: ValueFlags): Promise<SecretBytes> {
  const value = await readAll(flags)
  if (value.byteLength > 0 || flags.allowEmpty) return value
  value[Symbol.dispose]()
  throw new LatchkeyError('ERR_USAGE', 'the value is empty', {
    hint: 'look whether what was to give it has failed; say --allow-empty if it is to be empty',
  })
}

async function readAll(flags: ValueFlags): Promise<SecretBytes> {
  if (flags.fromFile === undefined && process.stdin.isTTY) {
    process.stderr.write('Type the value; end with Ctrl-D on a line of its own.\n')
  }
  const stream = flags.fromFile === undefined ? process.stdin : createReadStream(flags.fromFile)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of stream) {
    const bytes = chunk as Uint8Array
    chunks.push(bytes)
    length += bytes.byteLength
    if (length > maxValueBytes) {
      throw new LatchkeyError('ERR_USAGE', `the value has more than ${maxValueBytes} bytes`)
    }
  }
  const all = concat(chunks)
  for (const chunk of chunks) chunk.fill(0)
  if (all.at(-1) !== 0x0a) return SecretBytes.take(all)
  if (flags.chomp) {
    const value = SecretBytes.copyOf(all.subarray(0, -1))
    all.fill(0)
    return value
  }
  process.stderr.write('note: the value ends with a line feed, which is kept (--chomp drops it)\n')
  return SecretBytes.take(all)
}
