import { sealFrame } from '../../../src/base/frame.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { sealEnvelope, sealEnvelopeV1 } from '../../../src/keyring/envelope.ts'
import type { LiveKey } from '../../../src/keyring/key.ts'
import { passphraseRoot } from '../../../src/keyring/roots/passphrase.ts'
import { seededRandom } from '../seeded-random.ts'
import { fileBytes, hex, passphraseBytes, rootOfFile, rootOfPassphrase, text } from './shape.ts'

/** AEAD frames. */
export function makeFrames(): unknown {
  return [
    { title: 'empty', plaintext: 0, associatedData: 0 },
    { title: 'one byte', plaintext: 1, associatedData: 5 },
    { title: 'a key', plaintext: 32, associatedData: 61 },
    { title: 'several blocks', plaintext: 200, associatedData: 17 },
  ].map((sizes) => {
    const random = seededRandom(`frame ${sizes.title}`)
    const [key, plaintext, associatedData, nonce] = [
      random(32),
      random(sizes.plaintext),
      random(sizes.associatedData),
      random(24),
    ]
    const frame = sealFrame(plaintext, {
      key: SecretBytes.copyOf(key),
      associatedData,
      random: () => nonce,
    })
    return {
      title: sizes.title,
      key: hex(key),
      associatedData: hex(associatedData),
      nonce: hex(nonce),
      plaintext: hex(plaintext),
      frame: hex(frame),
    }
  })
}

/** Envelopes of both versions of the KMS protocol. */
export function makeEnvelopes(): unknown {
  return [1, 32, 983, 4096].flatMap((size) =>
    (['v2', 'v1beta1'] as const)
      .filter((version) => version === 'v1beta1' || size <= 983)
      .map((version) => {
        const random = seededRandom(`envelope ${version} ${size}`)
        const [material, plaintext, nonce] = [random(32), random(size), random(24)]
        const id = `lk1.7.${Buffer.from(random(16)).toString('base64url')}`
        const clusterId = 'prod-eu.1'
        const time = '2026-01-02T03:04:05Z'
        const key: LiveKey = {
          info: { id, clusterId, state: 'active', createdAt: time, changedAt: time },
          material: SecretBytes.copyOf(material),
        }
        const seal = version === 'v2' ? sealEnvelope : sealEnvelopeV1
        return {
          title: `${version}, ${size} bytes`,
          version,
          keyId: id,
          clusterId,
          material: hex(material),
          nonce: hex(nonce),
          plaintext: hex(plaintext),
          ciphertext: hex(seal(plaintext, { key, random: () => nonce })),
        }
      }),
  )
}

/** What roots make of a secret. */
export async function makeSlots(): Promise<unknown> {
  const context = Buffer.from('any context, as text')
  const made = [
    { title: 'file', root: rootOfFile(fileBytes, 'slot file') },
    { title: 'passphrase, cheap', root: rootOfPassphrase('slot passphrase') },
    {
      title: 'passphrase, as written by default',
      root: {
        ...rootOfPassphrase(''),
        key: passphraseRoot(SecretBytes.copyOf(passphraseBytes), {
          random: seededRandom('slot passphrase by default'),
        }),
      },
    },
  ]
  const secret = seededRandom('slot secret')(32)
  return Promise.all(
    made.map(async ({ title, root }) => {
      const { params, wrapped } = await root.key.wrap(SecretBytes.copyOf(secret), context)
      return {
        title,
        root: root.vector,
        context: text(context),
        secret: hex(secret),
        params,
        wrapped: hex(wrapped),
      }
    }),
  )
}
