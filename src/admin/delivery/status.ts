import type { HostPort } from '../../base/address.ts'
import { printHostPort } from '../../base/address.ts'
import { describeError } from '../../base/errors.ts'
import type { BrokerPodStatus, BrokerStatus } from '../../clients/broker-status.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { listOf, metaOf, objectOf, textOf } from '../../clients/kubernetes-objects.ts'
import { secretsAnnotation } from '../../injection/names.ts'
import { readPlan } from '../../injection/parse.ts'
import { print, type OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'

/** What `latchkey delivery status` needs. */
export interface DeliveryStatusDeps {
  readonly terminal: Terminal
  /** Asks one replica. */
  readonly ask: (broker: HostPort) => Promise<BrokerStatus>
  /** The cluster whose pods are counted; without one, only connected pods are known. */
  readonly cluster: KubernetesClient | undefined
  readonly signal: AbortSignal
}

/** What is asked. */
export interface DeliveryStatusFlags {
  readonly namespace: string
  readonly secret: string
  /** Every replica, each by its own address. */
  readonly brokers: readonly HostPort[]
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
 * @throws what `ask` throws when no replica answers; `ERR_KUBERNETES_*`.
 */
export async function deliveryStatus(
  deps: DeliveryStatusDeps,
  flags: DeliveryStatusFlags,
): Promise<boolean> {
  const { terminal } = deps
  const settled = await Promise.allSettled(flags.brokers.map((broker) => deps.ask(broker)))
  const answers = settled.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
  const failures = settled.flatMap((it) => (it.status === 'rejected' ? [it.reason as unknown] : []))
  if (answers.length === 0) throw failures[0]
  const declared = await declaringPods(deps, flags)
  const pods = mergePods(answers, declared)
  const current = pods.filter((pod) => pod.current).length
  const { namespace, secret } = flags
  await print(terminal, {
    format: flags.output,
    value: {
      namespace,
      secret,
      current,
      pods,
      replicas: answers.map(({ replica, version }) => ({ replica, version })),
    },
    table: () => [['POD', 'STATE'], ...pods.map(({ pod, state }) => [pod, state])],
  })
  const of = declared === undefined ? 'connected pods' : 'pods'
  terminal.say(`${current} of ${pods.length} ${of} have the newest content of secret/${secret}`)
  for (const [index, it] of settled.entries()) {
    const broker = flags.brokers[index]
    if (it.status === 'fulfilled' || broker === undefined) continue
    terminal.say(`warning: ${printHostPort(broker)} did not answer: ${describeError(it.reason)}`)
  }
  const disagreement = disagreementOf(answers)
  if (disagreement !== undefined) terminal.say(`warning: ${disagreement}`)
  return current === pods.length && failures.length === 0 && disagreement === undefined
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

/** One line per pod. A pod that is moving between replicas counts by its better one. */
export function mergePods(
  answers: readonly BrokerStatus[],
  declared: ReadonlyMap<string, string> | undefined,
): readonly PodDelivery[] {
  const seen = new Map<string, BrokerPodStatus>()
  for (const { pods } of answers) {
    for (const pod of pods) if (seen.get(pod.podUid)?.current !== true) seen.set(pod.podUid, pod)
  }
  const merged = new Map<string, PodDelivery>()
  for (const [uid, pod] of declared ?? []) {
    if (!seen.has(uid)) merged.set(uid, { pod, uid, current: false, state: 'not connected' })
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
