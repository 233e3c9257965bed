import { parseDocument } from 'yaml'
import { findingsAbout, type Finding } from './finding.ts'
import { mapping, sequence } from './yaml-values.ts'

const subject = 'kube-apiserver'
const about = findingsAbout(subject)
const oldestMinor = 29

/** Where things are on this machine, as far as they were named. */
export interface ApiServerExpectation {
  readonly encryptionConfigPath: string | undefined
  readonly socketPath: string | undefined
}

/**
 * Checks a static pod manifest of kube-apiserver, as kubeadm writes it to
 * `/etc/kubernetes/manifests/kube-apiserver.yaml`: version, flags, and that it mounts the socket's
 * directory and not the socket, whose inode changes when the plugin restarts.
 */
export function checkApiServerManifest(
  text: string,
  expectation: ApiServerExpectation,
): readonly Finding[] {
  const document = parseDocument(text)
  if (document.errors.length > 0) return [about.problem('the manifest is not YAML')]
  const pod = mapping(document.toJS({ maxAliasCount: 100 }))
  const spec = mapping(pod['spec'])
  const container = sequence(spec['containers'])
    .map(mapping)
    .find((candidate) => candidate['name'] === 'kube-apiserver')
  if (container === undefined) {
    return [
      about.problem(
        'the manifest has no container named kube-apiserver',
        'name the static pod manifest of the API server',
      ),
    ]
  }
  const findings = [
    ...checkVersion(String(container['image'])),
    ...checkFlags(
      [...sequence(container['command']), ...sequence(container['args'])].map(String),
      expectation,
    ),
    ...checkMount({ spec, container, socketPath: expectation.socketPath }),
  ]
  return findings.length > 0 ? findings : [about.ok('the manifest fits')]
}

/** Checks a version such as `v1.36.3` or an image with such a tag; unknown forms say nothing. */
function checkVersion(image: string): readonly Finding[] {
  const match = /v1\.([0-9]+)\.[0-9]+/.exec(image)
  if (match === null || Number(match[1]) >= oldestMinor) return []
  return [
    about.problem(
      `Kubernetes ${match[0]} cannot talk to a Node.js gRPC server over a unix socket`,
      `upgrade to v1.${oldestMinor} or newer: older API servers send the socket's path as HTTP/2 authority, which is refused`,
    ),
  ]
}

function checkFlags(
  flags: readonly string[],
  expectation: ApiServerExpectation,
): readonly Finding[] {
  const prefix = '--encryption-provider-config='
  const value = flags.find((flag) => flag.startsWith(prefix))?.slice(prefix.length)
  if (value === undefined) {
    return [
      about.problem(
        '--encryption-provider-config is not set, so nothing is encrypted',
        `add ${prefix}${expectation.encryptionConfigPath ?? 'FILE'}`,
      ),
    ]
  }
  const findings: Finding[] = []
  if (
    expectation.encryptionConfigPath !== undefined &&
    value !== expectation.encryptionConfigPath
  ) {
    findings.push(
      about.warning(
        `--encryption-provider-config names ${value}`,
        'make sure that it is the file you had checked, as the container sees it',
      ),
    )
  }
  if (!flags.includes('--encryption-provider-config-automatic-reload=true')) {
    findings.push(
      about.warning(
        'changes to the EncryptionConfiguration need a restart',
        'add --encryption-provider-config-automatic-reload=true',
      ),
    )
  }
  return findings
}

function checkMount(options: {
  readonly spec: Readonly<Record<string, unknown>>
  readonly container: Readonly<Record<string, unknown>>
  readonly socketPath: string | undefined
}): readonly Finding[] {
  const { socketPath } = options
  if (socketPath === undefined) return []
  const directory = socketPath.slice(0, socketPath.lastIndexOf('/')) || '/'
  const volumes = sequence(options.spec['volumes']).map((volume) => mapping(volume))
  const mounted = sequence(options.container['volumeMounts']).map((mount) => {
    const name = mapping(mount)['name']
    const volume = volumes.find((candidate) => candidate['name'] === name) ?? {}
    return String(mapping(volume['hostPath'])['path'])
  })
  if (mounted.includes(socketPath)) {
    return [
      about.problem(
        'the socket itself is mounted: after a restart of the plugin the API server would hold a dead one',
        `mount its directory ${directory} instead`,
      ),
    ]
  }
  const covers = (path: string): boolean =>
    path === directory || directory.startsWith(path.endsWith('/') ? path : `${path}/`)
  if (mounted.some(covers)) return []
  return [
    about.problem(
      "the socket's directory is not mounted",
      `add a hostPath volume for ${directory} and mount it at the same path`,
    ),
  ]
}
