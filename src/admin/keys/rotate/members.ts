import type { LatchkeyError } from '../../../base/errors.ts'
import type { Keyring } from '../../../keyring/keyring.ts'
import type { StepName } from './events.ts'
import { persist, refuse } from './persist.ts'
import type { MemberState, RotationPorts } from './ports.ts'

/** Those that do not have the keyring. */
export function missingMembers(members: readonly MemberState[]): readonly MemberState[] {
  return members.filter(({ ready }) => !ready)
}

/** Names members and what is known of each, as the end of a sentence. */
export function describeMembers(members: readonly MemberState[]): string {
  return members
    .map(({ name, alive, generation }) => {
      const has = generation === undefined ? 'nothing' : `generation ${generation}`
      return `${name} has acknowledged ${has}${alive ? '' : ' and is not heard of'}`
    })
    .join('; ')
}

/** The refusal to activate while `missing` lack the key. */
export function refuseActivation(missing: readonly MemberState[]): LatchkeyError {
  if (missing.length === 0) {
    return refuse(
      'no member is known: nobody would be seen to lack the new key',
      'start the plugin on every control plane, see "latchkey keys nodes", and repeat the command',
    )
  }
  return refuse(
    `the new key is not everywhere: ${describeMembers(missing)}`,
    'bring these nodes back, or, if one is gone for good, run "latchkey keys nodes remove NAME"; then repeat the command. The key stays staged and nothing encrypts with it',
  )
}

const lookEveryMs = 500

/**
 * Waits until every member has the keyring that is current.
 *
 * @throws `ERR_WOULD_LOSE_DATA` naming those that do not within `timeoutMs`.
 */
export async function waitForMembers(
  ports: RotationPorts,
  options: {
    readonly step: StepName & ('acknowledge-staged' | 'acknowledge-active')
    readonly timeoutMs: number
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { step, signal } = options
  const deadline = ports.clock.monotonicMs() + options.timeoutMs
  ports.tell({ event: 'step', step, state: 'started', text: 'waiting for every member' })
  let told = ''
  for (;;) {
    const members = await persist(ports, options, async () => {
      using current = await ports.keyring.open()
      return await checkMembers(ports, current.keyring)
    })
    const missing = missingMembers(members)
    const done = members.length - missing.length
    if (missing.length === 0 && members.length > 0) {
      const text = `${done} of ${members.length} members have it`
      ports.tell({ event: 'step', step, state: 'done', text, done, total: members.length })
      return
    }
    if (ports.clock.monotonicMs() >= deadline) throw refusal(step, missing)
    const text = `waiting: ${describeMembers(missing)}`
    if (text !== told) {
      ports.tell({ event: 'step', step, state: 'progress', text, done, total: members.length })
      told = text
    }
    await ports.clock.sleep(lookEveryMs, signal)
  }
}

async function checkMembers(
  ports: RotationPorts,
  keyring: Keyring,
): Promise<readonly MemberState[]> {
  return (await ports.membership.check(keyring)).members
}

function refusal(step: StepName, missing: readonly MemberState[]): Error {
  if (step === 'acknowledge-staged') return refuseActivation(missing)
  return refuse(
    `the new key is active, and not served everywhere: ${describeMembers(missing)}`,
    'every one of them can decrypt with it; bring them back and repeat the command, which goes on from here',
  )
}
