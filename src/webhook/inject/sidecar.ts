import { printHostPort } from '../../base/address.ts'
import {
  apiTokenPath,
  caAnnotation,
  planAnnotation,
  sidecarName,
  sidecarPaths,
  volumeNames,
} from '../../injection/names.ts'
import type { JsonObject } from '../../injection/pod/json.ts'
import type { FileVolume } from '../../injection/pod/mounts.ts'
import type { Placement } from '../../injection/pod/place.ts'
import type { SidecarSettings } from '../settings.ts'
import { parseBytes, printBytes } from '../../base/amounts.ts'
import type { SidecarPorts } from './ports.ts'

/** What an injected container is made of. */
export interface SidecarParts {
  readonly placement: Placement
  /** `sha256:` and the digest of the plan. */
  readonly planDigest: string
  readonly caDigest: string
  readonly ports: SidecarPorts
  /** Whether something must lie over the API server's token, which would otherwise be mounted. */
  readonly hideApiToken: boolean
}

/** What the sidecar keeps for itself: certificate bundles and a journal. */
const stateBytes = 2 * 2 ** 20

/**
 * The injected container. Fields that the API server would default are written out, so that a second
 * look finds nothing to change.
 */
export function sidecarContainer(parts: SidecarParts, settings: SidecarSettings): JsonObject {
  const { placement, planDigest, caDigest, ports } = parts
  const { uid, gid } = placement.owner
  return {
    name: sidecarName,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    restartPolicy: 'Always',
    command: ['latchkey-sidecar'],
    args: [
      ...[`--broker=${printHostPort(settings.broker)}`, `--ca=${sidecarPaths.ca}`],
      ...[`--ca-digest=${caDigest}`, `--token=${sidecarPaths.token}`],
      ...[`--secrets=${sidecarPaths.plan}`, `--plan-digest=${planDigest}`],
      ...[`--root=${sidecarPaths.root}`, `--state=${sidecarPaths.state}`],
      // In brackets, since the address may be one of IPv6.
      ...[`--health=[$(POD_IP)]:${ports.health}`, `--log-level=${settings.logLevel}`],
      ...optionalArguments(ports, settings),
    ],
    env: [
      { name: 'POD_IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } },
      ...smallProcess,
    ],
    resources: resourcesOf(placement.volumes, settings),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      ...(uid === undefined ? {} : { runAsUser: uid }),
      ...(gid === undefined ? {} : { runAsGroup: gid }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // Never gives up: a pod waits for its permission, and is not killed for lacking it.
    startupProbe: {
      httpGet: { path: '/startz', port: ports.health, scheme: 'HTTP' },
      periodSeconds: 1,
      timeoutSeconds: 5,
      successThreshold: 1,
      failureThreshold: 2_147_483_647,
    },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: volumeNames.pod, mountPath: sidecarPaths.pod, readOnly: true },
      { name: volumeNames.state, mountPath: sidecarPaths.state },
      ...(parts.hideApiToken
        ? [{ name: volumeNames.noToken, mountPath: apiTokenPath, readOnly: true }]
        : []),
      ...placement.volumes.map(({ directory }, index) => ({
        name: volumeNames.files(index + 1),
        mountPath: directory === '/' ? sidecarPaths.root : `${sidecarPaths.root}${directory}`,
      })),
    ],
  }
}

/** Keeps the process small: a young generation of 1 MiB, one malloc arena, memory given back early. */
const smallProcess: readonly JsonObject[] = [
  { name: 'NODE_OPTIONS', value: '--max-semi-space-size=1 --v8-pool-size=0' },
  { name: 'MALLOC_ARENA_MAX', value: '1' },
  { name: 'MALLOC_TRIM_THRESHOLD_', value: '65536' },
  { name: 'MALLOC_MMAP_THRESHOLD_', value: '65536' },
]

function optionalArguments(
  { metrics }: SidecarPorts,
  { maxStale }: SidecarSettings,
): readonly string[] {
  return [
    ...(metrics === undefined ? [] : [`--metrics=[$(POD_IP)]:${metrics}`]),
    ...(maxStale === undefined
      ? []
      : [`--max-stale=${maxStale.after}`, `--on-stale=${maxStale.action}`]),
  ]
}

/**
 * Bytes in memory volumes count as the memory of whoever wrote them (KEP-1967), so the limit grows
 * by what the volumes may hold. A request that equals the limit does too, and still equals it.
 */
function resourcesOf(volumes: readonly FileVolume[], settings: SidecarSettings): JsonObject {
  const { requests, limits } = settings
  const memory = limits['memory']
  if (memory === undefined) return { limits, requests }
  const held = volumes.reduce((sum, volume) => sum + volumeBytes(volume, settings), stateBytes)
  const whole = { memory: printBytes((parseBytes(memory) ?? 0) + held) }
  return {
    limits: { ...limits, ...whole },
    requests: requests['memory'] === memory ? { ...requests, ...whole } : requests,
  }
}

function volumeBytes({ entryCount }: FileVolume, settings: SidecarSettings): number {
  return entryCount * settings.volumeBytesPerEntry
}

/** The volumes of the injected container. */
export function sidecarVolumes(parts: SidecarParts, settings: SidecarSettings): JsonObject[] {
  const annotation = (name: string): JsonObject => ({
    apiVersion: 'v1',
    fieldPath: `metadata.annotations['${name}']`,
  })
  const memory = (name: string, bytes: number): JsonObject => ({
    name,
    emptyDir: { medium: 'Memory', sizeLimit: printBytes(bytes) },
  })
  return [
    {
      name: volumeNames.pod,
      projected: {
        defaultMode: 0o644,
        sources: [
          {
            serviceAccountToken: {
              audience: settings.audience,
              expirationSeconds: settings.tokenSeconds,
              path: nameIn(sidecarPaths.token),
            },
          },
          {
            downwardAPI: {
              items: [
                { path: nameIn(sidecarPaths.plan), fieldRef: annotation(planAnnotation) },
                { path: nameIn(sidecarPaths.ca), fieldRef: annotation(caAnnotation) },
              ],
            },
          },
        ],
      },
    },
    memory(volumeNames.state, stateBytes),
    ...(parts.hideApiToken ? [memory(volumeNames.noToken, 4096)] : []),
    ...parts.placement.volumes.map((volume, index) =>
      memory(volumeNames.files(index + 1), volumeBytes(volume, settings)),
    ),
  ]
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
