import { testImages } from '../../e2e/support/one-node/images.ts'

/** One container of a test's pod. */
export interface AppContainer {
  readonly name: string
  /** Default: the image without a user. */
  readonly image?: string
  /** Default: it sleeps. */
  readonly command?: readonly string[]
}

/** What makes a pod template of a test. */
export interface Workload {
  /** The annotation `latchkey.dev/secrets`; none: not annotated. */
  readonly secrets?: string
  readonly account?: string
  /** Of the pod; none: whatever the images say. */
  readonly user?: number
  /** Default: one called `app`. */
  readonly containers?: readonly AppContainer[]
  /** Run before the containers, one after the other. */
  readonly before?: readonly AppContainer[]
  readonly restartPolicy?: 'Always' | 'Never'
}

/** A pod template that the `restricted` standard allows. */
export function template(workload: Workload): { readonly metadata: object; readonly spec: object } {
  const { secrets, account = 'web', user, containers = [{ name: 'app' }], before = [] } = workload
  return {
    metadata: secrets === undefined ? {} : { annotations: { 'latchkey.dev/secrets': secrets } },
    spec: {
      serviceAccountName: account,
      terminationGracePeriodSeconds: 1,
      restartPolicy: workload.restartPolicy ?? 'Always',
      securityContext: {
        runAsNonRoot: true,
        ...(user !== undefined && { runAsUser: user }),
        seccompProfile: { type: 'RuntimeDefault' },
      },
      initContainers: before.map(container),
      containers: containers.map(container),
    },
  }
}

/** A Pod of that template. */
export function pod(namespace: string, name: string, workload: Workload): object {
  const { metadata, spec } = template(workload)
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name, namespace }, spec }
}

/** A Deployment of `replicas` such pods, labelled `app: NAME`. */
export function deployment(
  namespace: string,
  name: string,
  workload: Workload & { readonly replicas?: number },
): object {
  const { metadata, spec } = template(workload)
  const labels = { app: name }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas: workload.replicas ?? 1,
      selector: { matchLabels: labels },
      template: { metadata: { ...metadata, labels }, spec },
    },
  }
}

function container({ name, image = testImages.app, command }: AppContainer): object {
  return {
    name,
    image,
    ...(command !== undefined && { command }),
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  }
}
