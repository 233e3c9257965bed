import { Option, type Command } from 'commander'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { LatchkeyError, systemCode } from '../../src/base/errors.ts'
import { refuseIdleEtcd } from './idle-options.ts'

const collect = (value: string, former: readonly string[] | undefined): readonly string[] => [
  ...(former ?? []),
  value,
]

/** An option that may be given several times and becomes a list. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description} (repeatable)`).argParser(collect).default([], 'none')
}

/** Adds the options that say which keyring, and the file that may hold any option. */
export function withKeyring(command: Command): Command {
  return withKeyringPlace(command).addOption(
    repeatable('--root <root>', 'what opens it: file:FILE, passphrase:FILE or passphrase:fd:N'),
  )
}

/** As {@link withKeyring}, for commands that need no root. */
export function withKeyringPlace(command: Command): Command {
  const place = command
    .option('--keyring <place>', 'directory of the keyring, or etcd:https://HOST:PORT[,…]/PREFIX')
    .option('--local-copy <dir>', "directory of this node's copy of a keyring in etcd")
  return withConfig(withEtcdFiles(place))
}

/** Adds the options that reach etcd itself. */
export function withEtcd(command: Command): Command {
  const urls = repeatable(
    '--etcd <url,…>',
    'an etcd: the URLs of its members; again for another etcd',
  )
  return withEtcdFiles(command.addOption(urls))
}

function withEtcdFiles(command: Command): Command {
  // A command may read a keyring in etcd and the etcd of the API servers; one set of files is for both.
  if (optionOf(command, 'etcd-ca') !== undefined) return command
  return command
    .option('--etcd-ca <file>', "authorities of etcd's certificates, PEM")
    .option('--etcd-cert <file>', 'client certificate for etcd, PEM')
    .option('--etcd-key <file>', 'its private key, PEM')
}

/** Adds the options that say what opens a backup. */
export function withBackup(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'what opens the backup: a passphrase in a file, or fd:N')
    .addOption(repeatable('--share <file>', '… or shares of its key; - for standard input'))
}

/** Adds `--config`: a YAML file whose keys are the command's long option names. */
export function withConfig(command: Command): Command {
  return command.option('--config <file>', 'YAML file with any of these options; flags win over it')
}

/**
 * The command's options, flags before file, checked: `required` names those that must be there.
 *
 * @throws `ERR_USAGE` for a missing option, and for one that says how to reach an etcd when none is
 * named; `ERR_CONFIG_INVALID` for a bad file.
 */
export async function settle<Options extends object>(
  command: Command,
  required: readonly string[],
): Promise<Options> {
  const path = command.getOptionValue('config') as string | undefined
  if (path !== undefined) await mergeConfig(command, path)
  const inFile =
    path === undefined && optionOf(command, 'config') !== undefined
      ? 'give it, or name with --config a YAML file that has it; '
      : ''
  for (const name of required) {
    const option = optionOf(command, name)
    const value: unknown = command.getOptionValue(option?.attributeName() ?? name)
    if (value === undefined || (Array.isArray(value) && value.length === 0)) {
      throw new LatchkeyError('ERR_USAGE', `--${name} is missing`, {
        hint: `${inFile}see: ${commandPath(command)} --help`,
      })
    }
  }
  refuseIdleEtcd(command)
  return command.opts<Options>()
}

/**
 * Keys of the plugin's configuration file that mean nothing to the CLI, or not to every command, so
 * that one file serves all.
 */
const pluginKeys = new Set([
  'root',
  'listen',
  'metrics',
  'socket-group',
  'strict-health',
  'log-level',
  'node-name',
])

async function mergeConfig(command: Command, file: string): Promise<void> {
  const path = resolve(file)
  const values = await readMapping(path)
  for (const [key, value] of Object.entries(values)) {
    const option = optionOf(command, key)
    if (option === undefined || key === 'config') {
      if (pluginKeys.has(key)) continue
      const known = command.options.flatMap(({ long }) =>
        long === '--config' ? [] : long?.slice(2),
      )
      throw new LatchkeyError('ERR_CONFIG_INVALID', `${path}: unknown key "${key}"`, {
        hint: `this command knows ${known.join(', ')}`,
      })
    }
    const name = option.attributeName()
    if (command.getOptionValueSource(name) === 'cli') continue
    command.setOptionValueWithSource(name, configValue(option, value, path), 'config')
  }
}

function configValue(option: Option, value: unknown, path: string): unknown {
  const wrong = (expected: string): LatchkeyError =>
    new LatchkeyError('ERR_CONFIG_INVALID', `${path}: "${option.name()}" is not ${expected}`)
  if (Array.isArray(option.defaultValue)) {
    const list: unknown = Array.isArray(value) ? value : [value]
    if (Array.isArray(list) && list.every((entry) => typeof entry === 'string')) return list
    throw wrong('a text or a list of texts')
  }
  if (option.isBoolean() || option.negate) {
    // `--no-…` sets to false what the rest of its name says, and `no-…: true` must do the same.
    if (typeof value === 'boolean') return option.negate ? !value : value
    throw wrong('true or false')
  }
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  throw wrong('a text')
}

async function readMapping(path: string): Promise<Record<string, unknown>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = systemCode(error) ?? 'unreadable'
    const why = code === 'ENOENT' ? 'there is no such file' : code
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${path}: ${why}`, {
      hint: 'name a YAML file that you may read; its path counts from the directory that you are in',
    })
  }
  const document = parseDocument(text, { uniqueKeys: true })
  const [problem] = document.errors
  if (problem !== undefined) {
    const line = problem.linePos?.[0].line ?? 1
    throw new LatchkeyError('ERR_CONFIG_INVALID', `${path}:${line}: not YAML (${problem.code})`)
  }
  const value: unknown = document.toJS({ maxAliasCount: 0 })
  if (value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw new LatchkeyError('ERR_CONFIG_INVALID', `${path}: expected a mapping of option names`)
}

function optionOf(command: Command, name: string): Option | undefined {
  return command.options.find(({ long }) => long === `--${name}`)
}

/** The words by which a command is called, `latchkey` first. */
export function commandPath(command: Command): string {
  const names: string[] = []
  for (let next: Command | null = command; next !== null; next = next.parent) {
    names.unshift(next.name())
  }
  return names.join(' ')
}
