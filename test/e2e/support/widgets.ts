import { type Kubernetes, type KubernetesError, collection } from './kubernetes.ts'
import { until } from './until.ts'

/** The collection of a custom resource of the tests' own. */
export const widgets = collection('test.latchkey.dev/v1', 'widgets', 'default')

/** A widget with a value. */
export function widget(name: string, value: string): Parameters<Kubernetes['create']>[1] {
  return {
    apiVersion: 'test.latchkey.dev/v1',
    kind: 'Widget',
    metadata: { name },
    spec: { value },
  }
}

/** Registers the resource and returns when it can be used. */
export async function defineWidgets(api: Kubernetes): Promise<void> {
  await api.create(collection('apiextensions.k8s.io/v1', 'customresourcedefinitions'), {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.test.latchkey.dev' },
    spec: {
      group: 'test.latchkey.dev',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: { type: 'object', properties: { value: { type: 'string' } } },
              },
            },
          },
        },
      ],
    },
  })
  await until(
    'the custom resource to be served',
    async () => {
      try {
        return (await api.list(widgets)).items
      } catch (error) {
        if ((error as KubernetesError).status === 404) return undefined
        throw error
      }
    },
    { timeoutMs: 20_000 },
  )
}
