import { sha256Label } from '../../base/bytes.ts'
import {
  apiTokenPath,
  caAnnotation,
  isOurVolume,
  planAnnotation,
  secretsAnnotation,
  sidecarName,
  volumeNames,
} from '../../injection/names.ts'
import { readPlan } from '../../injection/parse.ts'
import { readPodFacts } from '../../injection/pod/facts.ts'
import { listOf, objectOf, objectsOf, textOf } from '../../injection/pod/json.ts'
import type { Json, JsonObject } from '../../injection/pod/json.ts'
import { isMeshProxy } from '../../injection/pod/mesh.ts'
import { placePlan } from '../../injection/pod/place.ts'
import type { Placement } from '../../injection/pod/place.ts'
import { printPlan, planDigest } from '../../injection/print.ts'
import type { Problem } from '../../injection/problem.ts'
import type { NamespaceFacts, SidecarSettings } from '../settings.ts'
import { adviceOnInjection } from './advice.ts'
import { excludePorts, meshesOf } from './mesh-annotations.ts'
import { portsOf } from './ports.ts'
import { sidecarContainer, sidecarVolumes, type SidecarParts } from './sidecar.ts'

/** Everything that an injection depends on besides the pod: nothing else does it read. */
export interface InjectionContext {
  readonly settings: SidecarSettings
  /** Certificate authorities of the broker, PEM. */
  readonly ca: string
  readonly namespace: string
  readonly namespaceFacts: NamespaceFacts | undefined
}

/** What came of a pod. */
export type Injection =
  | {
      readonly kind: 'injected'
      readonly pod: JsonObject
      readonly placement: Placement
      readonly planDigest: string
      readonly warnings: readonly string[]
    }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] }
  /** It is left as it is. */
  | { readonly kind: 'left'; readonly warnings: readonly string[] }

/**
 * Adds the sidecar to a pod that declares secrets. A function of its arguments alone: the same pod
 * always becomes the same, and one that was injected before becomes what it would have been from
 * the start, whatever was put under our names meanwhile.
 */
export function injectPod(pod: JsonObject, context: InjectionContext): Injection {
  const facts = readPodFacts(pod)
  if (facts.isStatic) {
    return {
      kind: 'left',
      warnings: ['static pods have no service account, so this one is not given its secrets'],
    }
  }
  const metadata = objectOf(pod['metadata'])
  const annotations = objectOf(metadata['annotations'])
  const reading = readPlan(textOf(annotations[secretsAnnotation]) ?? '')
  if (reading.kind === 'problems') return { kind: 'refused', problems: reading.problems }
  const result = placePlan(reading, facts, context.settings)
  if (result.kind === 'problems') return { kind: 'refused', problems: result.problems }
  const { placement } = result
  const { settings } = context
  const spec = objectOf(pod['spec'])
  const meshes = settings.mesh === 'ignore' ? [] : meshesOf(pod, context.namespaceFacts)
  const parts: SidecarParts = {
    placement,
    planDigest: planDigest(placement.plan),
    caDigest: sha256Label(context.ca),
    ports: portsOf(pod, context.namespace, settings),
    hideApiToken: mountsApiToken(spec),
  }
  const excluded =
    settings.mesh === 'exclude'
      ? excludePorts(annotations, {
          meshes,
          inbound: parts.ports.health,
          outbound: settings.broker.port,
        })
      : annotations
  const injected: JsonObject = {
    ...pod,
    metadata: {
      ...metadata,
      annotations: {
        ...excluded,
        [planAnnotation]: printPlan(placement.plan),
        [caAnnotation]: context.ca,
      },
    },
    spec: {
      ...spec,
      ...withGroups(spec, placement),
      ...withPullSecrets(spec, settings),
      volumes: [
        ...listOf(spec['volumes']).filter((volume) => !isOurs(volume)),
        ...sidecarVolumes(parts, settings),
      ],
      initContainers: withSidecar(
        withMounts(spec['initContainers'], placement),
        sidecarContainer(parts, settings),
        settings,
      ),
      containers: withMounts(spec['containers'], placement),
    },
  }
  const warnings = [
    ...placement.warnings,
    ...adviceOnInjection(pod, {
      settings,
      meshes,
      ports: parts.ports,
      hostNetwork: facts.hostNetwork,
    }),
  ]
  return { kind: 'injected', pod: injected, placement, planDigest: parts.planDigest, warnings }
}

/**
 * Whether containers get the API server's token. The admission plugin that mounts it ran before us
 * and runs again after us, and leaves out only containers that have something there already.
 */
function mountsApiToken(spec: JsonObject): boolean {
  return [...objectsOf(spec['initContainers']), ...objectsOf(spec['containers'])]
    .filter(({ name }) => name !== sidecarName)
    .flatMap(({ volumeMounts }) => objectsOf(volumeMounts))
    .some(({ mountPath }) => mountPath === apiTokenPath)
}

function isOurs(volumeOrMount: Json): boolean {
  return isOurVolume(textOf(objectOf(volumeOrMount)['name']) ?? '')
}

/** The containers, but ours, each with the mounts that it is to have, after its own. */
function withMounts(containers: Json | undefined, { volumes }: Placement): readonly Json[] {
  return objectsOf(containers)
    .filter(({ name }) => name !== sidecarName)
    .map((container) => {
      const given = volumes.flatMap(({ mounts }, index) =>
        mounts
          .filter((mount) => mount.container === container['name'])
          .map(({ path, subPath }) => ({
            name: volumeNames.files(index + 1),
            mountPath: path,
            readOnly: true,
            ...(subPath === undefined ? {} : { subPath }),
          })),
      )
      const own = listOf(container['volumeMounts']).filter((mount) => !isOurs(mount))
      const volumeMounts = [...own, ...given]
      if (volumeMounts.length === 0 && container['volumeMounts'] === undefined) return container
      return { ...container, volumeMounts }
    })
}

/** First, so that every other container, init containers included, starts with its files there. */
function withSidecar(
  others: readonly Json[],
  sidecar: JsonObject,
  { mesh }: SidecarSettings,
): readonly Json[] {
  const proxy =
    mesh === 'through'
      ? others.findLastIndex((each) => {
          const { name, restartPolicy } = objectOf(each)
          return isMeshProxy(textOf(name) ?? '') && restartPolicy === 'Always'
        })
      : -1
  return others.toSpliced(proxy + 1, 0, sidecar)
}

function withGroups(spec: JsonObject, { owner }: Placement): JsonObject {
  if (owner.addGroups.length === 0) return {}
  const security = objectOf(spec['securityContext'])
  const supplementalGroups = [...listOf(security['supplementalGroups']), ...owner.addGroups]
  return { securityContext: { ...security, supplementalGroups } }
}

function withPullSecrets(spec: JsonObject, { imagePullSecrets }: SidecarSettings): JsonObject {
  const present = objectsOf(spec['imagePullSecrets'])
  const missing = imagePullSecrets.filter((name) => present.every((each) => each['name'] !== name))
  if (missing.length === 0) return {}
  return { imagePullSecrets: [...present, ...missing.map((name) => ({ name }))] }
}
