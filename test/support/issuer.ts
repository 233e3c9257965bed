import type { ExecutionContext } from 'ava'
import { systemClock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { CertificateIssuer, type IssuerPolicy } from '../../src/webhook/certificates/issuer.ts'
import { createWebhookMetrics } from '../../src/webhook/metrics.ts'
import { startFakeKubernetes, type FakeKubernetes } from './fake-kubernetes.ts'

const day = 86_400_000
const namespace = 'latchkey-system'
/** Path of the Secrets. */
export const secrets = `/api/v1/namespaces/${namespace}/secrets`
const signal = new AbortController().signal

/** The issuer's settings, unless a test changes them. */
export const policy: IssuerPolicy = {
  namespace,
  authority: { lifetimeMs: 3650 * day, noticeMs: 30 * day },
  webhook: { names: ['webhook.svc'], lifetimeMs: day },
  broker: {
    names: ['broker.svc', 'broker.svc.cluster.local'],
    host: 'broker.svc',
    lifetimeMs: 3 * day,
  },
}

/** An issuer, and what it told. */
export interface Replica {
  readonly issuer: CertificateIssuer
  readonly served: string[]
  readonly known: Set<string>
  now: number
  /** What the API server says the time is; the replica's own without it. */
  serverNow: number | undefined
  authorities: readonly string[]
  knowsAll: boolean
}

/** A cluster with the two Secrets, empty. */
export interface IssuerGround {
  readonly kubernetes: FakeKubernetes
  readonly replica: (change?: Partial<IssuerPolicy>) => Replica
  readonly data: (name: string) => Promise<Record<string, string>>
}

/** Starts a cluster for issuers. */
export async function issuerGround(t: ExecutionContext): Promise<IssuerGround> {
  const kubernetes = await startFakeKubernetes(t)
  const client = createKubernetesClient(kubernetes.access, { clock: systemClock })
  for (const name of ['latchkey-authority', 'latchkey-broker-tls']) {
    kubernetes.put(secrets, { metadata: { name, labels: { kept: 'yes' } }, type: 'Opaque' })
  }
  return {
    kubernetes,
    replica: (change) => {
      const replica: Replica = {
        now: Date.now(),
        serverNow: undefined,
        served: [],
        known: new Set(),
        authorities: [],
        knowsAll: true,
        issuer: new CertificateIssuer(
          { ...policy, ...change },
          {
            client,
            clock: { ...systemClock, now: () => replica.now },
            serverTime: async () => replica.serverNow ?? replica.now,
            random: createRandomPool(),
            log: silentLog,
            metrics: createWebhookMetrics(createMetrics(), { version: '0', inFlight: () => 0 }),
            isKnown: (certificate) => replica.knowsAll || replica.known.has(certificate),
            onAuthorities: (certificates) => {
              replica.authorities = certificates
            },
            onServing: ({ cert }) => {
              replica.served.push(cert.toString())
            },
          },
        ),
      }
      return replica
    },
    data: async (name) => {
      const object = (await client.request('GET', `${secrets}/${name}`, { signal })) as {
        data?: Record<string, string>
        metadata: { labels: unknown }
      }
      t.deepEqual(object.metadata.labels, { kept: 'yes' })
      return Object.fromEntries(
        Object.entries(object.data ?? {}).map(([key, value]) => [
          key,
          Buffer.from(value, 'base64').toString(key === 'version.key' ? 'latin1' : 'utf8'),
        ]),
      )
    },
  }
}

/** Has a replica look once. */
export async function seen(replica: Replica): Promise<Replica> {
  await replica.issuer.see(signal)
  return replica
}
