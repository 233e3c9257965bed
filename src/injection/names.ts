/** What a developer writes: the list of secrets, on the pod or the pod template. */
export const secretsAnnotation = 'latchkey.dev/secrets'
/** What the webhook writes beside it: the same list, complete, in its one spelling. */
export const planAnnotation = 'latchkey.dev/plan'
/** What the webhook writes beside both: the certificate authorities of the broker, as PEM. */
export const caAnnotation = 'latchkey.dev/ca'

/** Every annotation of ours. */
export const knownAnnotations: readonly string[] = [secretsAnnotation, planAnnotation, caAnnotation]
/** The part of an annotation's name that makes it ours. */
export const annotationPrefix = 'latchkey.dev/'

/** The injected container. */
export const sidecarName = 'latchkey'

/**
 * The volumes of the injected container. Everything of these names is ours: what a pod brings under
 * them is dropped.
 */
export const volumeNames = {
  /** Token, plan and certificate authorities, projected by the kubelet. */
  pod: 'latchkey-pod',
  /** What the sidecar keeps for itself over restarts. */
  state: 'latchkey-state',
  /** An empty directory that lies over the API server's token in our container. */
  noToken: 'latchkey-no-token',
  /** The target directory of that number, from 1. */
  files: (number: number) => `latchkey-files-${number}`,
} as const

/** Whether a volume of this name is ours. */
export function isOurVolume(name: string): boolean {
  return /^latchkey-(?:pod|state|no-token|files-[1-9][0-9]{0,3})$/.test(name)
}

/** Where things are in the sidecar's container. */
export const sidecarPaths = {
  /** {@link volumeNames}.pod */
  pod: '/run/latchkey/pod',
  token: '/run/latchkey/pod/token',
  plan: '/run/latchkey/pod/plan.yaml',
  ca: '/run/latchkey/pod/ca.crt',
  /** {@link volumeNames}.state */
  state: '/run/latchkey/state',
  /** Put before the path of every target. */
  root: '/run/latchkey/files',
} as const

/** Where Kubernetes puts the token for its own API. */
export const apiTokenPath = '/var/run/secrets/kubernetes.io/serviceaccount'
