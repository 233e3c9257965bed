import { createRandomPool } from '../../src/base/random.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { createKeyring, type NextDocument } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import { fileRoot } from '../../src/keyring/roots/file.ts'
import { passphraseRoot } from '../../src/keyring/roots/passphrase.ts'
import type { MakeDeps } from '../../src/keyring/seal.ts'

/** Real random bytes and time. */
export const deps: MakeDeps = { random: createRandomPool(), now: () => Date.now() }

/** A file root of its own. */
export function newRoot(): RootKey {
  return fileRoot(SecretBytes.take(deps.random(32)), deps)
}

/** A passphrase root whose every try costs next to nothing. */
export function cheapPassphraseRoot(passphrase: string): RootKey {
  return passphraseRoot(SecretBytes.take(Buffer.from(passphrase)), {
    ...deps,
    cost: { memoryKiB: 8, passes: 1, parallelism: 1 },
  })
}

/** An opened first generation, and the root that opens it. */
export async function newKeyring(
  clusterId?: string,
): Promise<{ readonly keyring: Keyring; readonly root: RootKey; readonly bytes: Uint8Array }> {
  const root = newRoot()
  const { bytes } = await createKeyring({ clusterId, roots: [root] }, deps)
  return { keyring: await Keyring.open(bytes, { roots: [root] }), root, bytes }
}

/** Opens what a change has made. */
export function reopen(next: NextDocument, root: RootKey): Promise<Keyring> {
  return Keyring.open(next.bytes, { roots: [root] })
}
