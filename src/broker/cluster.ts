import type { Clock } from '../base/clock.ts'
import { LatchkeyError } from '../base/errors.ts'
import { readGuardedFile } from '../clients/guarded-file.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import type { Authenticator, Authorizer, PodDirectory } from './identity.ts'
import { maxStaticFileBytes, parseStaticFile } from './static-file.ts'

/** Who asks and what they may: from an API server, or from a file. */
export interface Cluster {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly pods: PodDirectory
}

/** What a cluster needs from outside. */
export interface ClusterDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
  readonly onProblem: (error: unknown) => void
}

/** How often a static file is looked at, in milliseconds. */
const staticFileEveryMs = 500

/** The cluster behind an API server. */
export async function openKubernetesCluster(
  client: KubernetesClient,
  options: { readonly audience: string; readonly deps: ClusterDeps },
): Promise<Cluster> {
  const { deps } = options
  const { kubernetesAuthenticator } = await import('./authenticate-kubernetes.ts')
  const { kubernetesAuthorizer } = await import('./authorize-kubernetes.ts')
  const { kubernetesPods } = await import('./pods-kubernetes.ts')
  return {
    authenticator: kubernetesAuthenticator(client, options),
    authorizer: kubernetesAuthorizer(client, deps),
    pods: kubernetesPods({ ...deps, client, lingerMs: 60_000 }),
  }
}

/**
 * The stand-in for a cluster that a file describes; changes of the file take effect within a second,
 * and one that cannot be read leaves what was before in force.
 *
 * @throws `ERR_CONFIG_INVALID`, also for a file that others may write; `ERR_IO`.
 */
export async function openStaticCluster(
  path: string,
  options: {
    readonly uid: number
    readonly deps: ClusterDeps
    readonly onReplaced: () => void
  },
): Promise<Cluster> {
  const { deps } = options
  const { createStaticCluster } = await import('./static-cluster.ts')
  let text = await readStaticFile(path, options.uid)
  const cluster = createStaticCluster(parseStaticFile(text))
  const look = async (): Promise<void> => {
    const next = await readStaticFile(path, options.uid)
    if (next === text) return
    text = next
    cluster.replace(parseStaticFile(next))
    options.onReplaced()
  }
  const watch = async (): Promise<void> => {
    for (;;) {
      await deps.clock.sleep(staticFileEveryMs, deps.signal).catch(() => undefined)
      if (deps.signal.aborted) return
      await look().catch(deps.onProblem)
    }
  }
  void watch()
  return cluster
}

async function readStaticFile(path: string, uid: number): Promise<string> {
  const bytes = await readGuardedFile(path, {
    uid,
    forbiddenMode: 0o022,
    title: 'static file',
    code: 'ERR_CONFIG_INVALID',
    maxBytes: maxStaticFileBytes,
  })
  if (bytes !== undefined) return Buffer.from(bytes).toString('utf8')
  throw new LatchkeyError('ERR_CONFIG_INVALID', `there is no static file ${path}`, {
    hint: 'name the file that lists accounts, pods and viewers',
  })
}
