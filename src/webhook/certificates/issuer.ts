import { utf8 } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { isLatchkeyError, LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import type { Log } from '../../observe/log.ts'
import type { WebhookEvent } from '../events.ts'
import type { WebhookMetrics } from '../metrics.ts'
import type { ServingCertificate } from '../server.ts'
import {
  authorityOf,
  bundleOf,
  namesNow,
  nextStep,
  parseAuthorities,
  printAuthorities,
  signerOf,
  type Authority,
  type AuthorityPolicy,
} from './authorities.ts'
import { isGoodLeaf, issueLeaf, type LeafWish } from './leaf.ts'
import { readSecretObject, type SecretObject } from './secret-object.ts'
import { isKeyOf, keyPem, makeAuthority, readCertificate, type KeyedCertificate } from './x509.ts'

/** Names of the Secrets in the webhook's namespace; the manifests bring them, empty. */
export const secretNames = {
  authority: 'latchkey-authority',
  broker: 'latchkey-broker-tls',
} as const

/** The broker's `--version-key`, which only has to be the same for all replicas. */
const versionKey = { name: 'version.key', bytes: 32 } as const

/** What the issuer is to see to. */
export interface IssuerPolicy {
  readonly namespace: string
  readonly authority: Omit<AuthorityPolicy, 'leafLifetimeMs' | 'names' | 'pinned'>
  readonly webhook: Omit<LeafWish, 'usedPart'>
  readonly broker: Omit<LeafWish, 'usedPart'> & {
    /** The name under which pods call it. */
    readonly host: string
  }
}

/** What the issuer needs from outside. */
export interface IssuerDeps {
  readonly client: KubernetesClient
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log<WebhookEvent>
  readonly metrics: WebhookMetrics
  /** Asks the API server for the time, milliseconds since 1970; `undefined` when it does not say. */
  readonly serverTime: (signal: AbortSignal) => Promise<number | undefined>
  /** Whether everybody who calls the webhook trusts that authority's certificate. */
  readonly isKnown: (certificate: string) => boolean
  /** The authorities have changed: their certificates, PEM. */
  readonly onAuthorities: (certificates: readonly string[]) => void
  /** The webhook is to serve another certificate. */
  readonly onServing: (certificate: ServingCertificate) => void
}

/** How far two clocks may be apart: certificates are valid from so long before they are made. */
const maxSkewMs = 300_000

/**
 * Sees to the certificates of webhook and broker. Any number of replicas do so side by side: the
 * authorities are in one Secret, which only one of them at a time can replace.
 */
export class CertificateIssuer {
  readonly #policy: IssuerPolicy
  readonly #deps: IssuerDeps
  #authorities: readonly Authority[] = []
  /** How far this machine's clock is ahead of the API server's, when that matters; otherwise 0. */
  #skewMs = 0
  /** Of the Secret that the authorities were read from. */
  #version = ''
  #serving: (KeyedCertificate & { readonly signer: Authority }) | undefined

  constructor(policy: IssuerPolicy, deps: IssuerDeps) {
    this.#policy = policy
    this.#deps = deps
  }

  /** What pods are to trust: the certificates of all authorities, PEM. */
  get bundle(): string {
    return bundleOf(this.#authorities)
  }

  /** Whether there is a certificate to serve with. */
  get isServing(): boolean {
    return this.#serving !== undefined
  }

  /** Whether callers trust what is served. */
  get isTrusted(): boolean {
    const { isKnown } = this.#deps
    return this.#serving !== undefined && isKnown(this.#serving.signer.certificate)
  }

  /**
   * Does whatever is due. Called again and again; what failed is tried again then.
   *
   * Times are the API server's, which is who verifies what is served here. Where this machine's clock
   * is another, nothing is changed that others go by: one machine whose clock jumps would take the
   * authorities from all pods, or give the broker a certificate that nobody believes yet.
   *
   * @throws `ERR_KUBERNETES_*`, `ERR_TLS_INVALID`, `ERR_CLOCK_DIFFERS`; what was served goes on being
   * served.
   */
  async see(signal: AbortSignal): Promise<void> {
    await this.#compareClocks(signal)
    // First what needs nobody else, so that an outage of the API server ends no certificate.
    await this.renewServing()
    let problem: LatchkeyError | undefined
    try {
      await this.#seeAuthorities(signal)
    } catch (error) {
      // Those in memory go on vouching for the broker, whatever became of their Secret.
      if (!isLatchkeyError(error)) throw error
      problem = error
    }
    await this.renewServing()
    await this.#seeBroker(signal)
    if (problem !== undefined) throw problem
  }

  async #compareClocks(signal: AbortSignal): Promise<void> {
    const { clock, serverTime } = this.#deps
    try {
      const serverMs = await serverTime(signal)
      if (serverMs === undefined) return
      const skewMs = clock.now() - serverMs
      this.#skewMs = Math.abs(skewMs) <= maxSkewMs ? 0 : skewMs
    } catch (error) {
      // Without an answer what is known of the clocks stays; whatever is asked next says so.
      if (!isLatchkeyError(error)) throw error
    }
  }

  get #nowMs(): number {
    return this.#deps.clock.now() - this.#skewMs
  }

  /** @throws `ERR_CLOCK_DIFFERS` */
  #requireCommonTime(): void {
    if (this.#skewMs === 0) return
    const apart = `${Math.abs(Math.round(this.#skewMs / 60_000))} minutes`
    const side = this.#skewMs > 0 ? 'ahead of' : 'behind'
    throw new LatchkeyError(
      'ERR_CLOCK_DIFFERS',
      `the clock of this machine is ${apart} ${side} the API server's, so nothing is issued for others`,
      { hint: 'set the clocks of nodes and control planes, and have them kept (NTP)' },
    )
  }

  /** Serves another certificate if it is time to, or if another authority signs by now. */
  async renewServing(): Promise<void> {
    const { random, isKnown, onServing, log, metrics } = this.#deps
    const nowMs = this.#nowMs
    const { names } = this.#policy.webhook
    const signer = signerOf(this.#authorities, nowMs, {
      names,
      isKnown: ({ certificate }) => isKnown(certificate),
    })
    if (signer === undefined) return
    const wish = { ...this.#policy.webhook, usedPart: 1 / 2, signer, nowMs }
    if (this.#serving !== undefined && isGoodLeaf(this.#serving.certificate, wish)) return
    const leaf = await issueLeaf(wish, random)
    const former = this.#serving
    this.#serving = { ...leaf, signer }
    onServing({ cert: leaf.certificate, key: keyPem(leaf.key) })
    former?.[Symbol.dispose]()
    const { notAfterMs } = readCertificate(leaf.certificate)
    metrics.expiry('webhook', notAfterMs)
    log.info('certificate.served', { authority: signer.facts.fingerprint, notAfterMs })
  }

  async #seeAuthorities(signal: AbortSignal): Promise<void> {
    const { client, log } = this.#deps
    const place = { namespace: this.#policy.namespace, name: secretNames.authority }
    // Whoever is overtaken looks at what the other one wrote; the third time nobody is left to be.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const secret = await readSecretObject(client, place, signal)
      const stored = this.#readAuthorities(secret)
      const step = nextStep(stored ?? this.#authorities, this.#nowMs, this.#authorityPolicy)
      if (stored?.length === step.keep.length && step.add === undefined) {
        this.#adopt(step.keep, secret.resourceVersion)
        return
      }
      this.#requireCommonTime()
      const wanted = await this.#take(step)
      const written = await secret.replace(
        {
          'authorities.json': utf8(printAuthorities(wanted)),
          'ca.crt': utf8(bundleOf(wanted)),
        },
        signal,
      )
      if (written === undefined) continue
      log.info(stored === undefined ? 'authority.created' : 'authority.changed', {
        authorities: wanted.map(({ facts }) => facts.fingerprint),
      })
      this.#adopt(wanted, written.resourceVersion)
      return
    }
  }

  get #authorityPolicy(): AuthorityPolicy {
    const { authority, webhook, broker } = this.#policy
    return {
      ...authority,
      leafLifetimeMs: Math.max(webhook.lifetimeMs, broker.lifetimeMs),
      names: [...new Set([...webhook.names, ...broker.names])],
      pinned: [broker.host],
    }
  }

  /** `undefined` when the Secret is empty: new, or somebody emptied it. */
  #readAuthorities(secret: SecretObject): readonly Authority[] | undefined {
    if (secret.resourceVersion === this.#version) return this.#authorities
    const bytes = secret.bytes('authorities.json')
    return bytes === undefined ? undefined : parseAuthorities(bytes.toString('utf8'))
  }

  async #take(step: ReturnType<typeof nextStep>): Promise<readonly Authority[]> {
    if (step.add === undefined) return step.keep
    const { random } = this.#deps
    const { names, lifetimeMs } = this.#authorityPolicy
    const nowMs = this.#nowMs
    const made = await makeAuthority(names, {
      random,
      validity: { notBeforeMs: nowMs - 3_600_000, notAfterMs: nowMs + lifetimeMs },
    })
    return [...step.keep, authorityOf(made, { signsFromMs: step.add.signsFromMs, names })]
  }

  #adopt(authorities: readonly Authority[], version: string): void {
    this.#version = version
    if (bundleOf(authorities) === this.bundle) return
    this.#authorities = authorities
    const newest = authorities.at(-1)
    if (newest !== undefined) this.#deps.metrics.expiry('authority', newest.facts.notAfterMs)
    this.#deps.onAuthorities(authorities.map(({ certificate }) => certificate))
  }

  /**
   * The broker's certificate, the authorities that it hands on, and the key by which all of its
   * replicas name versions alike, in a Secret that it mounts.
   */
  async #seeBroker(signal: AbortSignal): Promise<void> {
    const { client, random, log, metrics } = this.#deps
    const nowMs = this.#nowMs
    const { host, ...broker } = this.#policy.broker
    const pinned = [host]
    const names = namesNow(this.#authorities, nowMs, { names: broker.names, pinned })
    // Pods were told of a new authority for as long as its notice, whoever else knows it.
    const signer = signerOf(this.#authorities, nowMs, { names, isKnown: () => true })
    if (signer === undefined) return
    const place = { namespace: this.#policy.namespace, name: secretNames.broker }
    const secret = await readSecretObject(client, place, signal)
    const wish = { ...broker, names, usedPart: 1 / 3, signer, nowMs }
    const bundle = utf8(this.bundle)
    const found = secret.bytes(versionKey.name)
    // Kept over every replacement: with another key all versions would have other names.
    const version = found?.byteLength === versionKey.bytes ? found : random(versionKey.bytes)
    const common = { 'ca.crt': bundle, [versionKey.name]: version }
    const [cert, key] = [secret.bytes('tls.crt'), secret.bytes('tls.key')]
    if (cert !== undefined && key !== undefined && isGoodPair({ cert, key }, wish)) {
      metrics.expiry('broker', readCertificate(cert.toString()).notAfterMs)
      if (version === found && secret.bytes('ca.crt')?.equals(bundle) === true) return
      this.#requireCommonTime()
      await secret.replace({ 'tls.crt': cert, 'tls.key': key, ...common }, signal)
      return
    }
    this.#requireCommonTime()
    using leaf = await issueLeaf(wish, random)
    const pem = keyPem(leaf.key)
    const data = { 'tls.crt': utf8(leaf.certificate), 'tls.key': pem, ...common }
    const written = await secret.replace(data, signal)
    pem.fill(0)
    if (written === undefined) return
    const { notAfterMs } = readCertificate(leaf.certificate)
    metrics.expiry('broker', notAfterMs)
    log.info('broker_certificate.issued', { authority: signer.facts.fingerprint, notAfterMs })
  }
}

function isGoodPair(
  { cert, key }: { readonly cert: Buffer; readonly key: Buffer },
  wish: Parameters<typeof isGoodLeaf>[1],
): boolean {
  return isGoodLeaf(cert.toString(), wish) && isKeyOf(key, cert.toString())
}
