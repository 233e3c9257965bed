import { readFile } from 'node:fs/promises'
import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { Clock } from '../../base/clock.ts'
import { readTlsIdentity, watchTlsIdentity } from '../../net/tls-identity.ts'
import type { Health } from '../../observe/health.ts'
import type { Log } from '../../observe/log.ts'
import type { WebhookEvent, WebhookFinding } from '../events.ts'
import type { WebhookMetrics } from '../metrics.ts'
import type { ServingCertificate } from '../server.ts'
import { BundleKeeper, type KeeperDeps } from './keeper.ts'
import { CertificateIssuer, type IssuerDeps, type IssuerPolicy } from './issuer.ts'
import { readCertificate } from './x509.ts'

/** Where the webhook's certificate comes from, and what pods are to trust. */
export interface CertificateSource {
  /** Authorities of the broker, PEM; empty before there are any. */
  readonly bundle: () => string
  /** Keeps going until the signal is aborted; calls `onServing` first, and for every change. */
  run(signal: AbortSignal): Promise<void>
}

interface CommonDeps {
  readonly clock: Clock
  readonly health: Health<WebhookFinding>
  readonly log: Log<WebhookEvent>
  readonly metrics: WebhookMetrics
  readonly onServing: (certificate: ServingCertificate) => void
}

/** Certificates that are made here, and a bundle that is kept in the webhook configurations. */
export function selfIssued(
  policy: IssuerPolicy & { readonly configurationName: string; readonly everyMs: number },
  deps: CommonDeps &
    Omit<IssuerDeps, 'isKnown' | 'onAuthorities' | 'serverTime'> &
    Pick<KeeperDeps, 'client'> & { readonly jitter: () => number },
): CertificateSource {
  const { clock, health, log } = deps
  let keeper: BundleKeeper | undefined
  const issuer = new CertificateIssuer(policy, {
    ...deps,
    serverTime: async (signal) =>
      (await deps.client.exchange('GET', '/version', { signal })).dateMs,
    isKnown: (certificate) => keeper?.knows(certificate) ?? false,
    onAuthorities: (certificates) => keeper?.want(certificates),
  })
  const see = async (signal: AbortSignal): Promise<void> => {
    try {
      await issuer.see(signal)
      health.clear('certificate')
    } catch (error) {
      if (signal.aborted) return
      log.warn('certificate.problem', {}, error)
      health.report({
        name: 'certificate',
        severity: issuer.isServing ? 'degraded' : 'failing',
        reason: 'the certificates cannot be looked after; the log says why',
      })
    }
    // Once everybody trusts what is served, a restart of theirs or ours is what could change that.
    if (issuer.isTrusted) health.clear('bundle')
  }
  health.report({
    name: 'bundle',
    severity: 'failing',
    reason: 'the API server does not trust the certificate yet',
  })
  return {
    bundle: () => issuer.bundle,
    run: async (signal) => {
      keeper = new BundleKeeper({
        ...deps,
        random: deps.jitter,
        name: policy.configurationName,
        onChange: () => undefined,
        signal,
      })
      while (!signal.aborted) {
        await see(signal)
        // Until it is trusted there is something to wait for that takes seconds.
        const waitMs = issuer.isTrusted ? policy.everyMs : Math.min(policy.everyMs, 500)
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    },
  }
}

/** Somebody else's certificates, in files that are read again every few seconds. */
export function fromFiles(
  files: { readonly cert: string; readonly key: string; readonly brokerCa: string },
  deps: CommonDeps & { readonly everyMs: number },
): CertificateSource {
  const { clock, health, log, metrics, onServing, everyMs } = deps
  let bundle = ''
  const readBundle = async (): Promise<void> => {
    bundle = await readPem(files.brokerCa)
  }
  const problem = (error: unknown): void => {
    log.warn('certificate.problem', {}, error)
    health.report({
      name: 'certificate',
      severity: 'degraded',
      reason: 'a certificate file cannot be used; the log says why',
    })
  }
  return {
    bundle: () => bundle,
    run: async (signal) => {
      await readBundle()
      const current = await readTlsIdentity(files)
      const serve = (identity: typeof current): void => {
        onServing(identity)
        metrics.expiry('webhook', identity.notAfterMs)
        log.info('certificate.served', { notAfterMs: identity.notAfterMs })
        health.clear('certificate')
      }
      serve(current)
      const watching = watchTlsIdentity(files, {
        current,
        everyMs,
        clock,
        signal,
        onChange: serve,
        onProblem: problem,
      })
      while (!signal.aborted) {
        await clock.sleep(everyMs, signal).catch(() => undefined)
        await readBundle().catch(problem)
      }
      await watching
    },
  }
}

async function readPem(path: string): Promise<string> {
  let pem: string
  try {
    pem = await readFile(path, 'utf8')
  } catch (error) {
    throw new LatchkeyError('ERR_TLS_INVALID', `${path}: ${systemCode(error) ?? 'unreadable'}`)
  }
  readCertificate(pem)
  return pem
}
