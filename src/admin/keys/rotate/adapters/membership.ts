import { timingSafeEqual } from 'node:crypto'
import { LatchkeyError } from '../../../../base/errors.ts'
import type { RandomBytes } from '../../../../base/random.ts'
import { askKmsDecrypt } from '../../../../clients/kms-decrypt.ts'
import { askKmsStatus } from '../../../../clients/kms-status.ts'
import { sealEnvelope } from '../../../../keyring/envelope.ts'
import type { Keyring } from '../../../../keyring/keyring.ts'
import { missingAcknowledgements, type KeyringMembers } from '../../../../keyring/members.ts'
import type { Membership } from '../ports.ts'

/** Members of a keyring that several nodes share, by what they have acknowledged. */
export function acknowledgedMembership(members: KeyringMembers): Membership {
  return {
    check: async ({ digest }) => {
      const list = await members.list()
      const missing = new Set(missingAcknowledgements(list.members, digest))
      return {
        revision: list.revision,
        members: list.members.map((member) => ({
          name: member.name,
          alive: member.alive,
          ready: !missing.has(member),
          generation: member.acknowledged?.generation,
        })),
      }
    },
  }
}

const timeoutMs = 3_000

/**
 * The one member of a keyring that one node uses: the plugin on its socket. It has a keyring when it
 * decrypts what was sealed here with each of its keys, and names its active key as its own.
 */
export function socketMembership(path: string, random: RandomBytes): Membership {
  return {
    check: async (keyring) => {
      const answer = await tryPlugin(path, keyring, random)
      const member = { name: `the plugin on ${path}`, generation: undefined, ...answer }
      return { revision: undefined, members: [member] }
    },
  }
}

async function tryPlugin(
  path: string,
  keyring: Keyring,
  random: RandomBytes,
): Promise<{ readonly ready: boolean; readonly alive: boolean }> {
  try {
    const { keyId } = await askKmsStatus(path, timeoutMs)
    if (keyId !== keyring.active.id) return { ready: false, alive: true }
    for (const { id, state } of keyring.keys) {
      if (state === 'destroyed') continue
      const probe = random(32)
      const ciphertext = sealEnvelope(probe, { key: keyring.live(id), random })
      const back = await askKmsDecrypt(path, { ciphertext, keyId: id }, timeoutMs)
      if (back?.byteLength !== probe.byteLength || !timingSafeEqual(back, probe)) {
        return { ready: false, alive: true }
      }
    }
    return { ready: true, alive: true }
  } catch (error) {
    if (!(error instanceof LatchkeyError)) throw error
    return { ready: false, alive: false }
  }
}
