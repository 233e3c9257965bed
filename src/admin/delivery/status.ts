import { describeError } from '../../base/errors.ts'
import type { BrokerPodStatus, BrokerStatus } from '../../clients/broker-status.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { listOf, metaOf, objectOf, textOf } from '../../clients/kubernetes-objects.ts'
import { secretsAnnotation } from '../../injection/names.ts'
import { readPlan } from '../../injection/parse.ts'
import { print, type OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'

/** One of the broker's replicas. */
export interface Replica {
  /** Its pod or its address, for people. */
  readonly name: string
  /** Asks it what it knows of a secret. */
  readonly ask: (question: {
    readonly namespace: string
    readonly secret: string
  }) => Promise<BrokerStatus>
}

/** What `latchkey delivery status` needs. */
export interface DeliveryStatusDeps {
  readonly terminal: Terminal
  /** All of them; at least one. */
  readonly replicas: readonly Replica[]
  /** The cluster whose pods are counted; without one, only connected pods are known. */
  readonly cluster: KubernetesClient | undefined
  readonly signal: AbortSignal
}

/** What is asked. */
export interface DeliveryStatusFlags {
  readonly namespace: string
  readonly secret: string
  readonly output: OutputFormat
}

/** One pod in the answer. */
export interface PodDelivery {
  readonly pod: string
  readonly uid: string
  /** Whether it has the newest content. */
  readonly current: boolean
  /** What is the matter, or `current`. */
  readonly state: string
}

/**
 * `latchkey delivery status`: asks every replica, merges by pod, and counts against the live pods
 * that declare the secret.
 *
 * @returns whether every such pod has the newest content, and every replica has answered, and of the
 * same version.
 * @throws what the first replica failed with when none answers; `ERR_KUBERNETES_*`.
 */
export async function deliveryStatus(
  deps: DeliveryStatusDeps,
  flags: DeliveryStatusFlags,
): Promise<boolean> {
  const { terminal } = deps
  const { namespace, secret } = flags
  const { answers, failures } = await askAll(deps.replicas, { namespace, secret })
  if (answers.length === 0) throw failures[0]?.reason
  const declared = await declaringPods(deps, flags)
  const pods = mergePods(answers, declared, { isComplete: failures.length === 0 })
  const current = pods.filter((pod) => pod.current).length
  await print(terminal, {
    format: flags.output,
    value: {
      namespace,
      secret,
      current,
      pods,
      replicas: answers.map(({ replica, version }) => ({ replica, version })),
      unanswered: failures.map(({ name }) => name),
    },
    table: () => [['POD', 'STATE'], ...pods.map(({ pod, state }) => [pod, state])],
  })
  const of = declared === undefined ? 'connected pods' : 'pods'
  terminal.say(`${current} of ${pods.length} ${of} have the newest content of secret/${secret}`)
  for (const { name, reason } of failures) {
    terminal.say(`warning: ${name} did not answer: ${describeError(reason)}`)
  }
  if (failures.length > 0) {
    const asked = deps.replicas.length
    terminal.say(
      `warning: the answer is incomplete: ${failures.length} of ${asked} replicas are not in it, and pods of theirs count as unknown`,
    )
  }
  const disagreement = disagreementOf(answers)
  if (disagreement !== undefined) terminal.say(`warning: ${disagreement}`)
  return current === pods.length && failures.length === 0 && disagreement === undefined
}

interface Asked {
  readonly answers: readonly BrokerStatus[]
  readonly failures: readonly { readonly name: string; readonly reason: unknown }[]
}

async function askAll(
  replicas: readonly Replica[],
  question: Parameters<Replica['ask']>[0],
): Promise<Asked> {
  const asked = await Promise.all(
    replicas.map(async ({ name, ask }) => {
      try {
        return { answer: await ask(question) }
      } catch (reason) {
        return { failure: { name, reason } }
      }
    }),
  )
  return {
    answers: asked.flatMap(({ answer }) => answer ?? []),
    failures: asked.flatMap(({ failure }) => failure ?? []),
  }
}

/**
 * A replica that lags behind calls its pods current that have what it has. One whose pods do not ask
 * for the secret follows no version of it, and has no say. Which of several versions is the newest,
 * they do not tell.
 */
function disagreementOf(answers: readonly BrokerStatus[]): string | undefined {
  const following = answers.filter(({ version }) => version !== '')
  if (new Set(following.map(({ version }) => version)).size < 2) return undefined
  const versions = following.map(({ replica, version }) => `${replica} ${version}`).join(', ')
  return `the replicas do not have the same version, so pods may be behind (${versions}); if that lasts, see whether they share a --version-key`
}

/** Live pods whose declaration names the secret, by uid; `undefined` without a cluster. */
async function declaringPods(
  { cluster, signal }: DeliveryStatusDeps,
  { namespace, secret }: DeliveryStatusFlags,
): Promise<ReadonlyMap<string, string> | undefined> {
  if (cluster === undefined) return undefined
  const found = new Map<string, string>()
  for (let next = ''; ;) {
    const page = objectOf(
      await cluster.request('GET', `/api/v1/namespaces/${namespace}/pods`, {
        query: { limit: '250', ...(next === '' ? {} : { continue: next }) },
        signal,
      }),
    )
    for (const pod of listOf(page, 'items')) {
      const { uid, name } = metaOf(pod)
      if (isLive(pod) && declares(pod, secret)) found.set(uid, name)
    }
    next = textOf(objectOf(page['metadata']), 'continue')
    if (next === '') return found
  }
}

function isLive(pod: unknown): boolean {
  const phase = textOf(objectOf(objectOf(pod)['status']), 'phase')
  return phase !== 'Succeeded' && phase !== 'Failed'
}

function declares(pod: unknown, secret: string): boolean {
  const annotations = objectOf(objectOf(objectOf(pod)['metadata'])['annotations'])
  const text = textOf(annotations, secretsAnnotation)
  if (text === '') return false
  const reading = readPlan(text)
  return reading.kind === 'plan' && reading.plan.entries.some((entry) => entry.secret === secret)
}

/**
 * One line per pod. A pod that is moving between replicas counts by its better one. Of a pod that no
 * replica has nothing is known unless all of them have answered.
 */
export function mergePods(
  answers: readonly BrokerStatus[],
  declared: ReadonlyMap<string, string> | undefined,
  { isComplete }: { readonly isComplete: boolean },
): readonly PodDelivery[] {
  const seen = new Map<string, BrokerPodStatus>()
  for (const { pods } of answers) {
    for (const pod of pods) if (seen.get(pod.podUid)?.current !== true) seen.set(pod.podUid, pod)
  }
  const merged = new Map<string, PodDelivery>()
  for (const [uid, pod] of declared ?? []) {
    const state = isComplete ? 'not connected' : 'unknown'
    if (!seen.has(uid)) merged.set(uid, { pod, uid, current: false, state })
  }
  for (const [uid, pod] of seen) {
    merged.set(uid, { pod: pod.podName, uid, current: pod.current, state: stateOf(pod) })
  }
  return [...merged.values()].sort((a, b) => (a.pod < b.pod ? -1 : 1))
}

function stateOf(pod: BrokerPodStatus): string {
  if (pod.current) return 'current'
  if (pod.status === 'denied') return 'denied'
  if (pod.status === 'not-found') return 'no such secret'
  if (pod.status !== 'ready') return 'unavailable'
  return pod.outcome === '' || pod.outcome === 'written' ? 'not written yet' : pod.outcome
}
