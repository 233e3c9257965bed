import type { Clock } from '../base/clock.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { watchResource } from '../clients/kubernetes-watch.ts'
import { objectOf, textOf, type Json } from '../injection/pod/json.ts'
import type { NamespaceFacts } from './settings.ts'

/** What is known of namespaces. */
export interface NamespaceDirectory {
  /** `undefined` while nothing is known of it, as before the first list or for one that is new. */
  facts(name: string): NamespaceFacts | undefined
}

/** Watches the metadata of all namespaces, which is where service meshes are switched on. */
export function watchNamespaces(deps: {
  readonly client: KubernetesClient
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onProblem: (error: unknown) => void
  readonly signal: AbortSignal
}): NamespaceDirectory {
  let known = new Map<string, NamespaceFacts>()
  watchResource<{ readonly name: string; readonly facts: NamespaceFacts }>(
    {
      path: '/api/v1/namespaces',
      content: 'metadata',
      list: 'objects',
      project: (object) => {
        const metadata = objectOf(objectOf(object as Json)['metadata'])
        return {
          name: textOf(metadata['name']) ?? '',
          facts: {
            labels: objectOf(metadata['labels']),
            annotations: objectOf(metadata['annotations']),
          },
        }
      },
      replaced: (items) => {
        known = new Map(items.map(({ name, facts }) => [name, facts]))
      },
      changed: (event, { name, facts }) => {
        if (event === 'deleted') known.delete(name)
        else known.set(name, facts)
      },
      problem: deps.onProblem,
    },
    deps,
  )
  return { facts: (name) => known.get(name) }
}
