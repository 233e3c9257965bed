import type { ExecutionContext } from 'ava'
import { openStream, type TestStream } from './broker-client.ts'
import { startBroker, type TestBroker, type TestBrokerOptions } from './broker.ts'
import { FakeCluster, type FakePod } from './fake-cluster.ts'
import { startFakeKubernetes } from './fake-kubernetes.ts'

/** A broker in a cluster of its own, and how its pods open streams. */
export interface BrokerInCluster {
  readonly cluster: FakeCluster
  readonly broker: TestBroker
  /** Opens the stream of a pod, a new one by default. */
  readonly stream: (
    references: Parameters<typeof openStream>[2]['references'],
    options?: {
      readonly pod?: FakePod
      readonly token?: string
      readonly instance?: Buffer
      readonly fields?: object
    },
  ) => TestStream
}

/** Starts both; they stop with the test. */
export async function startBrokerInCluster(
  t: ExecutionContext,
  options: Omit<TestBrokerOptions, 'kubernetes'> = {},
): Promise<BrokerInCluster> {
  const kubernetes = await startFakeKubernetes(t)
  const cluster = new FakeCluster(kubernetes)
  const broker = await startBroker(t, { kubernetes, ...options })
  return {
    cluster,
    broker,
    stream: (references, { pod = cluster.addPod(), token = cluster.token(pod), ...rest } = {}) =>
      openStream(t, broker, { token, references, ...rest }),
  }
}
