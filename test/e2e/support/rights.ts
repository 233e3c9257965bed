import { collection, type Kubernetes } from './kubernetes.ts'
import { until } from './until.ts'

/** What is asked for, as an RBAC rule has it. */
export interface Right {
  readonly namespace: string
  readonly verb: string
  readonly resource: string
  /** Default: the core group. */
  readonly group?: string
}

/**
 * Waits until the API server grants `user` a right that was bound: its authorizer hears of bindings
 * by watches of its own, so that for a moment it refuses what is written already.
 */
export async function untilGranted(admin: Kubernetes, user: string, right: Right): Promise<void> {
  const reviews = collection('authorization.k8s.io/v1', 'subjectaccessreviews')
  await until(
    `${user} to be granted ${right.verb} on ${right.resource}`,
    async () => {
      const answer = await admin.create(reviews, {
        metadata: { name: '' },
        spec: { user, resourceAttributes: right },
      })
      return (answer['status'] as { allowed: boolean }).allowed
    },
    { timeoutMs: 20_000 },
  )
}
