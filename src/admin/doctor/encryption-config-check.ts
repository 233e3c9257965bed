import { LineCounter, parseDocument } from 'yaml'
import { findingsAbout, type Finding } from './finding.ts'
import { mapping, sequence } from './yaml-values.ts'

const subject = 'encryption-config'
const about = findingsAbout(subject)

/**
 * Checks an EncryptionConfiguration against what the API server accepts of a KMS v2 provider
 * (apiserver pkg/apis/apiserver/validation/validation_encryption.go) and against our socket.
 */
export function checkEncryptionConfig(
  text: string,
  options: { readonly socketPath: string | undefined },
): readonly Finding[] {
  const document = parseDocument(text, { lineCounter: new LineCounter(), uniqueKeys: true })
  const [error] = document.errors
  if (error !== undefined) {
    return [about.problem(`line ${error.linePos?.[0].line ?? 1} is not YAML`, 'mend the file')]
  }
  const config = mapping(document.toJS({ maxAliasCount: 100 }))
  if (
    config['kind'] !== 'EncryptionConfiguration' ||
    config['apiVersion'] !== 'apiserver.config.k8s.io/v1'
  ) {
    return [
      about.problem(
        'this is not an EncryptionConfiguration of apiserver.config.k8s.io/v1',
        'begin the file with "apiVersion: apiserver.config.k8s.io/v1" and "kind: EncryptionConfiguration"',
      ),
    ]
  }
  const entries = sequence(config['resources']).map(mapping)
  const kmsEntries = entries
    .flatMap((entry) => sequence(entry['providers']))
    .map((provider) => mapping(provider)['kms'])
    .filter((kms) => kms !== undefined)
    .map(mapping)
  const findings = [
    ...kmsEntries.flatMap((kms) => checkKms(kms, options)),
    ...checkNames(kmsEntries),
    ...entries.flatMap(checkOrder),
    ...checkSecrets(entries),
  ]
  if (kmsEntries.length === 0) {
    findings.push(
      about.problem('no kms provider is listed', 'add one; "latchkey dev" prints an example'),
    )
  }
  if (findings.length === 0) findings.push(about.ok('as the API server and the plugin need it'))
  return findings
}

function checkKms(
  kms: Readonly<Record<string, unknown>>,
  options: { readonly socketPath: string | undefined },
): readonly Finding[] {
  const findings: Finding[] = []
  const name = typeof kms['name'] === 'string' ? kms['name'] : ''
  const title = `kms provider "${name}"`
  if (name === '' || name.includes(':')) {
    findings.push(
      about.problem(
        `${title}: the name is empty or has a colon`,
        'give it a name without ":"; it becomes part of every object in etcd, so never change it later',
      ),
    )
  }
  if (kms['apiVersion'] !== 'v2') {
    findings.push(
      about.problem(
        kms['apiVersion'] === undefined
          ? `${title}: apiVersion is missing, which means v1`
          : `${title}: apiVersion is not v2`,
        'set "apiVersion: v2", unless you are migrating off v1',
      ),
    )
  } else if (kms['cachesize'] !== undefined) {
    findings.push(about.problem(`${title}: cachesize is refused with v2`, 'remove cachesize'))
  }
  const endpoint = kms['endpoint']
  if (
    typeof endpoint !== 'string' ||
    !endpoint.startsWith('unix:///') ||
    endpoint.startsWith('unix:///@')
  ) {
    findings.push(
      about.problem(
        `${title}: endpoint is not unix:///PATH`,
        "name the plugin's socket by its absolute path",
      ),
    )
  } else if (options.socketPath !== undefined && endpoint !== `unix://${options.socketPath}`) {
    findings.push(
      about.problem(
        `${title}: endpoint is another socket than the plugin's`,
        `set "endpoint: unix://${options.socketPath}", as the API server sees the path`,
      ),
    )
  }
  return findings
}

function checkNames(kmsEntries: readonly Readonly<Record<string, unknown>>[]): readonly Finding[] {
  const names = kmsEntries.filter((kms) => kms['apiVersion'] === 'v2').map((kms) => kms['name'])
  if (new Set(names).size === names.length) return []
  return [about.problem('two kms v2 providers have one name', 'give each entry a name of its own')]
}

function checkOrder(entry: Readonly<Record<string, unknown>>): readonly Finding[] {
  const providers = sequence(entry['providers']).flatMap((provider) =>
    Object.keys(mapping(provider)),
  )
  const resources = sequence(entry['resources']).map(String).join(', ')
  const kmsAt = providers.indexOf('kms')
  if (kmsAt > 0) {
    const first = providers[0] ?? ''
    return [
      about.warning(
        `${resources}: ${first === 'identity' ? 'written in plaintext' : `written with ${first}`}, as ${first} stands before kms`,
        'put kms first once every API server can read through it',
      ),
    ]
  }
  if (kmsAt === 0 && providers.includes('identity')) {
    return [
      about.warning(
        `${resources}: plaintext objects in etcd are accepted, as identity is listed`,
        'remove identity once everything is rewritten, and not before',
      ),
    ]
  }
  return []
}

function checkSecrets(entries: readonly Readonly<Record<string, unknown>>[]): readonly Finding[] {
  const covered = entries
    .flatMap((entry) => sequence(entry['resources']))
    .some((resource) => resource === 'secrets' || resource === '*.' || resource === '*.*')
  if (covered) return []
  return [
    about.problem('Secrets are not encrypted', 'add "secrets" to the resources of the kms entry'),
  ]
}
