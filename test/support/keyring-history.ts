import fc from 'fast-check'
import { sealEnvelope, openEnvelope } from '../../src/keyring/envelope.ts'
import {
  addRoots,
  replaceRoots,
  restoreBackup,
  sealBackup,
  type NextDocument,
} from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { activateKey, destroyKey, retireKey, stageKey } from '../../src/keyring/transitions.ts'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { cheapPassphraseRoot, deps, newRoot } from './keyrings.ts'
import type { RootKey } from '../../src/keyring/root.ts'

/** What a person does to a keyring; `pick` chooses among its keys. */
export type Step =
  | { readonly do: 'stage' | 'activate' | 'addRoot' | 'replaceRoots' | 'restore' }
  | { readonly do: 'retire' | 'destroy'; readonly pick: number }

/** A keyring with its roots, and a ciphertext under every key that ever was. */
export interface Life {
  readonly keyring: Keyring
  readonly roots: readonly RootKey[]
  /** By key id; each opens to the key id itself. */
  readonly samples: ReadonlyMap<string, Uint8Array>
}

/** Any sequence of steps, most of them possible. */
export const arbitrarySteps = (minLength: number, maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant({ do: 'stage' as const }) },
      { weight: 4, arbitrary: fc.constant({ do: 'activate' as const }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('retire' as const), pick: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('destroy' as const), pick: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          { do: 'addRoot' as const },
          { do: 'replaceRoots' as const },
          { do: 'restore' as const },
        ),
      },
    ),
    { minLength, maxLength },
  )

/** A life that begins with `keyring`. */
export function beginLife(keyring: Keyring, roots: readonly RootKey[]): Life {
  return { keyring, roots, samples: withSamples(new Map(), keyring) }
}

/** Takes the step and opens what it made; `undefined` when the keyring's rules refuse it. */
export async function live(life: Life, step: Step): Promise<Life | undefined> {
  try {
    const { next, roots } = await take(life, step)
    const keyring = await Keyring.open(next.bytes, { roots })
    return { keyring, roots, samples: withSamples(life.samples, keyring) }
  } catch (error) {
    const refused = ['ERR_KEY_STATE', 'ERR_WOULD_LOSE_DATA', 'ERR_KEYRING_FULL'] as const
    if (refused.some((code) => isLatchkeyError(error, code))) return undefined
    throw error
  }
}

async function take(
  life: Life,
  step: Step,
): Promise<{ readonly next: NextDocument; readonly roots: readonly RootKey[] }> {
  const { keyring, roots } = life
  switch (step.do) {
    case 'stage':
      return { next: stageKey(keyring, deps).document, roots }
    case 'activate':
      return { next: activateKey(keyring, deps).document, roots }
    case 'retire':
      return { next: retireKey(keyring, pickId(keyring, step.pick), deps).document, roots }
    case 'destroy':
      return { next: destroyKey(keyring, pickId(keyring, step.pick), deps).document, roots }
    case 'addRoot': {
      const root = newRoot()
      return { next: await addRoots(keyring, [root], deps), roots: [...roots, root] }
    }
    case 'replaceRoots': {
      const root = newRoot()
      return { next: await replaceRoots(keyring, [root], deps), roots: [root] }
    }
    case 'restore': {
      const passphrase = cheapPassphraseRoot('a passphrase')
      const bytes = await sealBackup(keyring, [passphrase], deps)
      const backup = await Keyring.open(bytes, { roots: [passphrase], kind: 'backup' })
      const root = newRoot()
      return { next: await restoreBackup(backup, [root], deps), roots: [root] }
    }
  }
}

function pickId(keyring: Keyring, pick: number): string {
  return keyring.keys[pick % keyring.keys.length]?.id ?? ''
}

function withSamples(
  samples: ReadonlyMap<string, Uint8Array>,
  keyring: Keyring,
): ReadonlyMap<string, Uint8Array> {
  const all = new Map(samples)
  for (const { id, state } of keyring.keys) {
    if (state === 'destroyed' || all.has(id)) continue
    all.set(id, sealEnvelope(Buffer.from(id), { key: keyring.live(id), random: deps.random }))
  }
  return all
}

/** Whether `keyring` still decrypts what key `id` encrypted. */
export function decrypts(keyring: Keyring, id: string, sample: Uint8Array | undefined): boolean {
  if (sample === undefined) return false
  const opened = openEnvelope(sample, { key: keyring.live(id) })
  return Buffer.from(opened.expose()).toString() === id
}
