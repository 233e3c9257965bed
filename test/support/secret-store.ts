import type { ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { utf8 } from '../../src/base/bytes.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { systemDisk, type Disk } from '../../src/clients/disk.ts'
import { SecretContent } from '../../src/secrets/content.ts'
import { openFileStore, type FileSecretStore } from '../../src/secrets/sources/file-store.ts'

const root = randomBytes(32)

/** The root of every store that {@link temporaryStore} makes in this process. */
export function testRoot(): SecretBytes {
  return SecretBytes.copyOf(root)
}

/** Content from texts. */
export function contentOf(values: Readonly<Record<string, string | Uint8Array>>): SecretContent {
  return SecretContent.take(
    Object.entries(values).map(([key, value]) => ({
      key,
      value: SecretBytes.copyOf(typeof value === 'string' ? utf8(value) : value),
    })),
  )
}

/** Content as texts, latin1 so that every byte shows. */
export function textsOf(content: SecretContent | undefined): Record<string, string> | undefined {
  if (content === undefined) return undefined
  return Object.fromEntries(
    content.entries.map(({ key, value }) => [key, Buffer.from(value.expose()).toString('latin1')]),
  )
}

/** A directory that is gone after the test. */
export async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const directory = await fs.mkdtemp(join(await fs.realpath(tmpdir()), 'latchkey-'))
  t.teardown(() => fs.rm(directory, { recursive: true, force: true }))
  return directory
}

/** A store, fresh or the one in `directory` once more. */
export async function temporaryStore(
  t: ExecutionContext,
  directory?: string,
  disk: Disk = systemDisk,
): Promise<{ readonly store: FileSecretStore; readonly directory: string }> {
  const place = directory ?? `${await temporaryDirectory(t)}/store`
  using key = testRoot()
  const store = await openFileStore(place, {
    root: key,
    create: true,
    deps: { disk, random: createRandomPool(), uid: process.getuid?.() ?? 0, now: () => Date.now() },
  })
  return { store, directory: place }
}
