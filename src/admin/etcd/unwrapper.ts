import { LatchkeyError } from '../../base/errors.ts'
import { openEnvelope, openEnvelopeV1 } from '../../keyring/envelope.ts'
import type { Keyring } from '../../keyring/keyring.ts'
import type { Unwrapper } from '../../storage/open.ts'

/** Does with a keyring, or a backup of one, what the plugin does with it. The keyring stays the caller's. */
export function keyringUnwrapper(keyring: Keyring): Unwrapper {
  return {
    v2: ({ keyId, encryptedDekSource, annotations }) => {
      // As the plugin: it has never made one, so another program or hand has.
      if (annotations.size > 0) {
        throw new LatchkeyError(
          'ERR_ANNOTATION_UNKNOWN',
          'the object has an annotation not of ours',
        )
      }
      return openEnvelope(encryptedDekSource, { key: keyring.live(keyId) })
    },
    v1: (ciphertext) => openEnvelopeV1(ciphertext, { key: (keyId) => keyring.live(keyId) }),
  }
}
