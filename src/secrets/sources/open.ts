import { resolve } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import { SecretBytes } from '../../base/secret.ts'
import type { Disk } from '../../clients/disk.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import type { SecretSource, SourceProblem } from '../source.ts'
import type { FileSecretStore } from './file-store.ts'
import type { SourceSpec } from './spec.ts'
export { parseSourceSpec, type SourceSpec } from './spec.ts'
export type { FileSecretStore } from './file-store.ts'

/** What sources need from the process that opens them. */
export interface SourceDeps extends StoreDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random01: () => number
  readonly onProblem: SourceProblem
  /** The cluster, for the source that needs one. */
  readonly kubernetes: () => Promise<KubernetesClient>
}

/** What the embedded store needs from the process that opens it. */
export interface StoreDeps {
  readonly disk: Disk
  readonly random: RandomBytes
  readonly uid: number
  /** Base of relative paths. */
  readonly cwd: string
  readonly now: () => number
}

/** An open source. */
export interface OpenedSource {
  readonly source: SecretSource
  /** A key for versions that every broker on the same source has, when the source gives one. */
  readonly versionKey: SecretBytes | undefined
}

/**
 * Opens a source.
 *
 * @throws `ERR_CONFIG_INVALID`, and what {@link openSecretStore} throws.
 */
export async function openSource(
  spec: SourceSpec,
  options: { readonly storeRoot: string | undefined; readonly deps: SourceDeps },
): Promise<OpenedSource> {
  const { deps, storeRoot } = options
  switch (spec.kind) {
    case 'kubernetes': {
      const { kubernetesSource } = await import('./kubernetes.ts')
      const client = await deps.kubernetes()
      const random = deps.random01
      return {
        source: kubernetesSource({ ...deps, client, random, lingerMs: 60_000 }),
        versionKey: undefined,
      }
    }
    case 'file': {
      const { fileSource } = await import('./file.ts')
      // Never made here: a directory that was not mounted would look like one without secrets, and
      // pods would lose their files.
      const store = await openSecretStore(spec.directory, { storeRoot, create: false, deps })
      return {
        source: fileSource(store, { ...deps, recheckMs: 15_000 }),
        versionKey: store.versionKey.clone(),
      }
    }
  }
}

/**
 * Opens the embedded store for reading and writing.
 *
 * @throws `ERR_CONFIG_INVALID` without a root; `ERR_ROOT_*`; `ERR_SECRET_STORE_*`; `ERR_IO`.
 */
export async function openSecretStore(
  directory: string,
  options: {
    readonly storeRoot: string | undefined
    readonly create: boolean
    readonly deps: StoreDeps
  },
): Promise<FileSecretStore> {
  const { create, deps } = options
  if (options.storeRoot === undefined) {
    throw new LatchkeyError('ERR_CONFIG_INVALID', 'a file source needs a store root', {
      hint: 'give one with --store-root file:FILE, in a directory of its own',
    })
  }
  const { openStoreRoot } = await import('./store-root.ts')
  const { openFileStore } = await import('./file-store.ts')
  const path = resolve(deps.cwd, directory)
  using root = await openStoreRoot(options.storeRoot, { directory: path, create, deps })
  return await openFileStore(path, { root, create, deps })
}
