import type { Keyring } from '../../keyring/keyring.ts'
import type { AdminContext, KeyringFlags } from '../context.ts'
import { age, print, type OutputFormat } from '../output.ts'
import { openCurrent } from './current.ts'

/** `latchkey keys list`: every key with its state, newest last. */
export async function keysList(
  context: AdminContext,
  flags: KeyringFlags & { readonly output: OutputFormat },
): Promise<void> {
  using current = await openCurrent(context, flags)
  const { keyring } = current
  await print(context.terminal, {
    format: flags.output,
    value: listing(keyring),
    table: () => [
      ['KEY', 'STATE', 'AGE', 'IN STATE'],
      ...keyring.keys.map((key) => [
        key.id,
        key.state,
        age(key.createdAt, context.now()),
        age(key.changedAt, context.now()),
      ]),
    ],
  })
  if (flags.output === 'table') {
    const slots = keyring.slots.map(({ type }) => type).join(', ')
    context.terminal.say(
      `cluster ${keyring.clusterId}, keyring ${keyring.keyringId}, generation ${keyring.generation}, roots: ${slots}`,
    )
  }
}

/** What `-o json` prints; field names are an interface. */
export function listing(keyring: Keyring): unknown {
  return {
    generation: keyring.generation,
    keyringId: keyring.keyringId,
    clusterId: keyring.clusterId,
    digest: keyring.digest,
    keys: keyring.keys.map(({ id, clusterId, state, createdAt, changedAt }) => ({
      id,
      state,
      clusterId,
      createdAt,
      changedAt,
    })),
    slots: keyring.slots.map(({ id, type, createdAt }) => ({ id, type, createdAt })),
  }
}
