import { isLatchkeyError, LatchkeyError } from '../../../base/errors.ts'
import type { EtcdClient } from '../../../clients/etcd/client.ts'
import type { EncryptionConfig } from '../../../storage/encryption-config.ts'
import type { Expectation } from '../../../storage/expectation.ts'
import { keyPrefixOf, splitResourceName } from '../../../storage/resource.ts'
import { findUnexpected, scan } from '../../../storage/scan.ts'
import { readStoredValue } from '../../../storage/stored-value.ts'
import { liveSource } from '../live-source.ts'
import { findResource, type ServedResource } from './discovery.ts'
import { listMetadata } from './listing.ts'
import { createPacer } from './pacer.ts'
import { rewrite, targetOf, type RewriteDeps, type Target } from './rewrite.ts'
import type { StaleObjects } from './stale.ts'

/** Where to look, and for what. */
export interface EtcdView {
  readonly etcds: readonly Pick<EtcdClient, 'location' | 'pages' | 'range'>[]
  /** The API servers' `--etcd-prefix`. */
  readonly prefix: string
  /** The only key ids that are not stale; none: the one under which the API server writes now. */
  readonly keyIds: ReadonlySet<string>
  readonly config: EncryptionConfig | undefined
}

/**
 * What a running etcd holds that is stale: objects under another key or provider than they would be
 * written with now, and plaintext.
 *
 * @remarks
 * Where no key is named, the API server is asked: an object is rewritten through it and read in etcd.
 */
export function staleInEtcd(
  view: EtcdView,
  deps: Omit<RewriteDeps, 'pacer' | 'dryRun'>,
): StaleObjects {
  const expectations = new Map<string, Expectation>()
  return async function* (resource, signal) {
    const expect = expectations.get(resource) ?? (await expectation(resource, view, deps))
    expectations.set(resource, expect)
    const { prefix } = view
    const resources = new Set([resource])
    const sources = view.etcds.map((etcd) => liveSource(etcd, { resources, prefix }))
    for await (const object of findUnexpected(sources, { prefix, resources, expect, signal })) {
      yield { namespace: object.namespace, name: object.name }
    }
  }
}

/**
 * The resources of which etcd holds objects, and which the configuration has encrypted.
 *
 * @throws what etcd throws.
 */
export async function encryptedResources(
  { etcds, prefix, config }: EtcdView,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const sources = etcds.map((etcd) => liveSource(etcd, { prefix }))
  const { resources, undecodable } = await scan(sources, { prefix, signal })
  const names = new Set([...resources, ...undecodable].map(({ resource }) => resource))
  return [...names]
    .filter((name) => {
      const writer = config?.writerOf(splitResourceName(name))
      return writer !== undefined && writer !== 'identity'
    })
    .sort()
}

async function expectation(
  resource: string,
  view: EtcdView,
  deps: Omit<RewriteDeps, 'pacer' | 'dryRun'>,
): Promise<Expectation> {
  const { config } = view
  const base = { plaintextIsNoKey: true, ...(config === undefined ? {} : { config }) }
  if (view.keyIds.size > 0) return { ...base, keyIds: view.keyIds }
  const written = await writtenNow(resource, view, deps)
  // Nothing that an API serves: then whatever etcd holds of it is out of its reach.
  if (written === undefined) return { ...base, keyIds: new Set() }
  const keyId = 'keyId' in written ? written.keyId : undefined
  if (keyId !== undefined) return { ...base, keyIds: new Set([keyId]) }
  if (config !== undefined) return { config }
  throw new LatchkeyError('ERR_USAGE', `the API server writes ${resource} without a KMS plugin`, {
    hint: 'name its configuration with --encryption-config, which says what to expect',
  })
}

/** How an object is stored that the API server has just rewritten; `undefined` when there is none. */
async function writtenNow(
  resource: string,
  view: EtcdView,
  deps: Omit<RewriteDeps, 'pacer' | 'dryRun'>,
): Promise<ReturnType<typeof readStoredValue> | undefined> {
  const served = await findResource(deps.client, resource, deps.signal)
  if (served === undefined) return undefined
  const pacer = createPacer({ ...deps, workers: 1, rate: undefined })
  for await (const target of candidates(served, view, deps)) {
    const { kind } = await rewrite(served, target, { ...deps, pacer, dryRun: false })
    if (kind !== 'rewritten' && kind !== 'unchanged') continue
    const place = target.namespace === '' ? '' : `${target.namespace}/`
    const key = `${keyPrefixOf(resource, view.prefix)}${place}${target.name}`
    for (const etcd of view.etcds) {
      const [entry] = (await etcd.range(key, { signal: deps.signal })).entries
      if (entry !== undefined) return readStoredValue(entry.value)
    }
  }
  return undefined
}

/** Objects to try: those that the API server lists, or, where it cannot list them, all in etcd. */
async function* candidates(
  served: ServedResource,
  { etcds, prefix }: EtcdView,
  deps: Omit<RewriteDeps, 'pacer' | 'dryRun'>,
): AsyncGenerator<Target> {
  try {
    for await (const { objects } of listMetadata(deps.client, served, deps)) {
      yield* objects.map(targetOf)
    }
    return
  } catch (error) {
    // A single object that cannot be decrypted makes every list fail, and must not stop the others.
    if (!isLatchkeyError(error, 'ERR_KUBERNETES_UNAVAILABLE')) throw error
  }
  const { signal } = deps
  const resources = new Set([served.resource])
  const sources = etcds.map((etcd) => liveSource(etcd, { resources, prefix }))
  const expect: Expectation = { plaintextIsNoKey: true, keyIds: new Set() }
  for await (const object of findUnexpected(sources, { prefix, resources, expect, signal })) {
    yield { namespace: object.namespace, name: object.name }
  }
}
