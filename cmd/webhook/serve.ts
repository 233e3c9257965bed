import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { systemClock } from '../../src/base/clock.ts'
import { systemCode } from '../../src/base/errors.ts'
import { createRandomPool } from '../../src/base/random.ts'
import { readKubeconfig } from '../../src/clients/kubeconfig.ts'
import { inClusterAccess, serviceAccountDirectory } from '../../src/clients/kubernetes-access.ts'
import { createKubernetesClient } from '../../src/clients/kubernetes.ts'
import { noAudit, type AuditSink } from '../../src/observe/audit.ts'
import { openAuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog } from '../../src/observe/audit-log.ts'
import { rotateByRename } from '../../src/observe/audit-rotation.ts'
import { Health } from '../../src/observe/health.ts'
import type { Log } from '../../src/observe/log.ts'
import type { WebhookConfig } from '../../src/webhook/config.ts'
import type { WebhookEvent, WebhookFinding } from '../../src/webhook/events.ts'
import { runWebhook } from '../../src/webhook/run.ts'
import { openBufferedLog } from '../buffered-log.ts'
import { version } from '../version.ts'

/** Runs the webhook with this process's files, clock and log, until the signal. */
export async function serveWebhook(
  config: WebhookConfig,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { log, flush } = openBufferedLog<WebhookEvent>({
    program: 'latchkey-webhook',
    level: config.logLevel,
  })
  const health = new Health<WebhookFinding>()
  // Our own timers do not keep the process alive while it waits for the API server.
  const alive = setInterval(() => undefined, 2 ** 30)
  try {
    const access =
      config.kubeconfig === undefined
        ? inClusterAccess({
            host: process.env['KUBERNETES_SERVICE_HOST'],
            port: process.env['KUBERNETES_SERVICE_PORT'],
            directory: serviceAccountDirectory,
          })
        : await readKubeconfig(config.kubeconfig)
    const audit = await openAudit(config, { health, log })
    try {
      await runWebhook(config, {
        client: createKubernetesClient(access, { clock: systemClock }),
        audit,
        health,
        log,
        clock: systemClock,
        random: createRandomPool(),
        jitter: Math.random,
        version,
        signal,
      })
    } finally {
      await audit.close()
    }
  } finally {
    clearInterval(alive)
    await flush()
  }
}

async function openAudit(
  { audit: path, auditLimit }: WebhookConfig,
  deps: { readonly health: Health<WebhookFinding>; readonly log: Log<WebhookEvent> },
): Promise<AuditSink> {
  if (path === undefined) return noAudit
  const { health, log } = deps
  return await openAuditLog({
    open: () => openAuditFile(path),
    clock: systemClock,
    random: createRandomPool(),
    key: createAuditKey(),
    program: 'latchkey-webhook',
    replica: hostname(),
    ...(auditLimit !== undefined && {
      rotation: rotateByRename(path, auditLimit, (error) => {
        log.error('audit.rotation_failed', {}, error)
      }),
    }),
    onCheckpoint: ({ chain, seq, hash }) => {
      log.info('audit.checkpoint', { chain, seq, hash })
    },
    onHealth: (problem) => {
      if (problem === undefined) {
        health.clear('audit')
        log.info('webhook.audit_recovered')
        return
      }
      log.error('webhook.audit_failed', {}, problem)
      health.report({
        name: 'audit',
        severity: 'failing',
        reason: 'the audit file cannot be written, so nothing is injected',
      })
    },
  })
}

/** The namespace of this process's service account; `undefined` outside of a pod. */
export async function ownNamespace(): Promise<string | undefined> {
  try {
    return (await readFile(`${serviceAccountDirectory}/namespace`, 'utf8')).trim()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}
