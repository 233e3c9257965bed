import { printHostPort } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import type { RandomBytes } from '../base/random.ts'
import type { KubernetesClient } from '../clients/kubernetes.ts'
import { runTasks } from '../net/run-tasks.ts'
import type { AuditSink } from '../observe/audit.ts'
import { openEndpoint } from '../observe/endpoint.ts'
import type { Health } from '../observe/health.ts'
import type { Log } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { createRateLimit } from '../observe/rate-limit.ts'
import { fromFiles, selfIssued, type CertificateSource } from './certificates/source.ts'
import type { WebhookConfig } from './config.ts'
import type { WebhookEvent, WebhookFinding } from './events.ts'
import { answerReview } from './handler.ts'
import { createWebhookMetrics } from './metrics.ts'
import { watchNamespaces } from './namespaces.ts'
import { checkServerVersion, readOwnImage } from './own-image.ts'
import { openAdmissionServer, type AdmissionServer, type ServingCertificate } from './server.ts'

/** What the webhook needs from its process. */
export interface WebhookDeps {
  readonly client: KubernetesClient
  readonly audit: AuditSink
  readonly health: Health<WebhookFinding>
  readonly log: Log<WebhookEvent>
  readonly clock: Clock
  readonly random: RandomBytes
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  readonly version: string
  readonly signal: AbortSignal
  /** Told where it listens, once it does. */
  readonly onListening?: (server: AdmissionServer) => void
}

/** Certificates are looked at at least this often. */
const seeEveryMs = 10_000
/** For connections that were accepted before an endpoint of ours was taken out of the Service. */
const stopWithinMs = 10_000

/**
 * Runs the webhook until the signal is aborted.
 *
 * @throws `ERR_CONFIG_INVALID`, `ERR_KUBERNETES_*`, `ERR_TLS_INVALID`, `ERR_IO`: what keeps it from
 * starting. What happens later is logged and tried again.
 */
export async function runWebhook(config: WebhookConfig, deps: WebhookDeps): Promise<void> {
  const { client, clock, health, log, signal } = deps
  await checkServerVersion(client, signal)
  const image = config.sidecar.image ?? (await ownImage(config, deps))
  let server: AdmissionServer | undefined
  const registry = createMetrics()
  registry.addProcessMetrics()
  const metrics = createWebhookMetrics(registry, {
    version: deps.version,
    inFlight: () => server?.inFlight() ?? 0,
  })
  await using stack = new AsyncDisposableStack()
  if (config.metrics !== undefined) {
    const endpoint = await openEndpoint(config.metrics, { metrics: registry, health, log })
    stack.defer(() => endpoint.close())
  }
  const namespaces =
    config.sidecar.mesh === 'ignore'
      ? undefined
      : watchNamespaces({
          ...deps,
          random: deps.jitter,
          onProblem: (error) => {
            log.warn('webhook.namespaces_problem', {}, error)
          },
        })
  let certificate: ServingCertificate | undefined
  const first = Promise.withResolvers<undefined>()
  const certificates = openCertificates(config, deps, {
    metrics,
    onServing: (next) => {
      certificate = next
      server?.replaceCertificate(next)
      first.resolve(undefined)
    },
  })
  const handler = {
    admission: {
      settings: { ...config.sidecar, image },
      ca: certificates.bundle,
      namespaceFacts: (name: string) => namespaces?.facts(name),
      exempt: new Set(config.exemptNamespaces),
    },
    audit: deps.audit,
    metrics,
    log,
    clock,
  }
  const serve = async (until: AbortSignal): Promise<void> => {
    await Promise.race([first.promise, aborted(until)])
    if (certificate === undefined) return
    server = await openAdmissionServer(config.listen, {
      answer: (body) => answerReview(body, handler),
      certificate,
      metrics,
      log,
      limit: createRateLimit({ intervalMs: 10_000, clock }),
    })
    log.info('webhook.started', {
      version: deps.version,
      address: printHostPort(server.address),
      image,
    })
    deps.onListening?.(server)
    await aborted(until)
    log.info('webhook.stopping')
    health.report({ name: 'stopping', severity: 'failing', reason: 'the webhook is stopping' })
    // Others still send requests here until they have learnt that it is no endpoint any more.
    server.drain()
    await clock.sleep(config.drainMs, new AbortController().signal)
    await server.close(stopWithinMs)
  }
  await runTasks(
    [
      { name: 'certificates', run: (until) => certificates.run(until) },
      { name: 'server', run: serve },
    ],
    { signal, stopWithinMs: config.drainMs + stopWithinMs + 5_000 },
  )
}

async function ownImage(config: WebhookConfig, { client, signal }: WebhookDeps): Promise<string> {
  return await readOwnImage(client, { namespace: config.namespace, pod: config.pod }, signal)
}

function openCertificates(
  config: WebhookConfig,
  deps: WebhookDeps,
  parts: {
    readonly metrics: ReturnType<typeof createWebhookMetrics>
    readonly onServing: (certificate: ServingCertificate) => void
  },
): CertificateSource {
  const { certificates, namespace, configurationName } = config
  const common = { ...deps, ...parts }
  if (certificates.issuer === 'files') {
    return fromFiles(certificates, { ...common, everyMs: 5_000 })
  }
  const { authorityLifetimeMs, authorityNoticeMs, webhookLifetimeMs, brokerLifetimeMs } =
    certificates
  const shortest = Math.min(authorityNoticeMs, webhookLifetimeMs, brokerLifetimeMs)
  return selfIssued(
    {
      namespace,
      configurationName,
      everyMs: Math.max(250, Math.min(seeEveryMs, shortest / 10)),
      authority: { lifetimeMs: authorityLifetimeMs, noticeMs: authorityNoticeMs },
      webhook: { names: certificates.webhookNames, lifetimeMs: webhookLifetimeMs },
      broker: {
        names: certificates.brokerNames,
        host: config.sidecar.broker.host,
        lifetimeMs: brokerLifetimeMs,
      },
    },
    common,
  )
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve, { once: true })
  })
}
