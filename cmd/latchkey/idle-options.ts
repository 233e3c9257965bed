import type { Command } from 'commander'
import { LatchkeyError } from '../../src/base/errors.ts'
import { isInEtcd } from '../../src/keyring/place.ts'

/**
 * Refuses options that would do nothing in the way in which the command is called. Only those of the
 * command line: a file of options may serve several commands and several calls.
 *
 * @param names - Long names without their dashes; those that are not the command's are passed over.
 * @param because - What is behind the name of the option: `does nothing without --check`.
 * @throws `ERR_USAGE` for the first of `names` that was given, with `hint` as the remedy.
 */
export function refuseIdle(
  command: Command,
  names: readonly string[],
  { because, hint }: { readonly because: string; readonly hint: string },
): void {
  for (const name of names) {
    const option = command.options.find(({ long }) => long === `--${name}`)
    if (option === undefined) continue
    if (command.getOptionValueSource(option.attributeName()) !== 'cli') continue
    throw new LatchkeyError('ERR_USAGE', `--${name} ${because}`, { hint })
  }
}

/** Options whose value may be a keyring in etcd. */
const places = ['keyring', 'from', 'to'] as const

/** Refuses options that say how to reach an etcd where none is named. Throws `ERR_USAGE`. */
export function refuseIdleEtcd(command: Command): void {
  const options = command.opts<Readonly<Record<string, unknown>>>()
  const keyringInEtcd = places.some((name) => {
    const place = options[name]
    return typeof place === 'string' && isInEtcd(place)
  })
  if (!keyringInEtcd) {
    refuseIdle(command, ['local-copy'], {
      because: 'is for a keyring in etcd, and none is named',
      hint: 'leave it out, or name one with --keyring etcd:https://HOST:PORT/PREFIX',
    })
  }
  const etcd = options['etcd']
  if (keyringInEtcd || (Array.isArray(etcd) && etcd.length > 0)) return
  refuseIdle(command, ['etcd-ca', 'etcd-cert', 'etcd-key'], {
    because: 'is there, and no etcd is named',
    hint:
      etcd === undefined
        ? 'leave it out, or name a keyring in etcd with --keyring etcd:https://HOST:PORT/PREFIX'
        : 'leave it out, or name the etcd with --etcd https://HOST:2379',
  })
}
