import { caAnnotation, planAnnotation, secretsAnnotation, sidecarName } from '../injection/names.ts'
import { objectOf, objectsOf, textOf, type JsonObject } from '../injection/pod/json.ts'
import { describeProblems, left, refuse, type Decision } from './decision.ts'
import { injectPod } from './inject/inject.ts'
import { diffJson } from './inject/json-patch.ts'
import type { AdmissionRequest } from './review.ts'
import type { NamespaceFacts, SidecarSettings } from './settings.ts'
import { judgeTemplate } from './workload.ts'

/** What a decision depends on besides the request. */
export interface AdmissionDeps {
  readonly settings: SidecarSettings
  /** Certificate authorities of the broker, PEM, of this moment. */
  readonly ca: () => string
  readonly namespaceFacts: (namespace: string) => NamespaceFacts | undefined
  /** Namespaces whose pods are left alone. */
  readonly exempt: ReadonlySet<string>
}

/** Decides about a pod, or about the pod template of a workload. */
export function admit(request: AdmissionRequest, deps: AdmissionDeps): Decision {
  if (request.subresource !== '') return left()
  if (deps.exempt.has(request.namespace)) {
    return left([`namespace ${request.namespace} is exempt, so the pod is not given its secrets`])
  }
  if (request.resource !== 'pods') {
    return judgeTemplate(request, deps.settings)
  }
  switch (request.operation) {
    case 'CREATE':
      return create(request, deps)
    case 'UPDATE':
      return update(request, deps)
    default:
      return left()
  }
}

function create({ object, namespace }: AdmissionRequest, deps: AdmissionDeps): Decision {
  const annotations = annotationsOf(object)
  if (annotations[secretsAnnotation] === undefined) {
    const forged = [planAnnotation, caAnnotation].find((name) => annotations[name] !== undefined)
    if (forged === undefined) return left()
    return refuse(`${forged} is written by Latchkey alone; remove it`)
  }
  const result = injectPod(object, {
    settings: deps.settings,
    ca: deps.ca(),
    namespace,
    namespaceFacts: deps.namespaceFacts(namespace),
  })
  switch (result.kind) {
    case 'left':
      return left(result.warnings)
    case 'refused':
      return refuse(describeProblems(result.problems), 'ERR_PLAN_INVALID')
    case 'injected':
      return {
        outcome: 'injected',
        plan: { plan: result.placement.plan, digest: result.planDigest },
        answer: {
          allowed: true,
          warnings: result.warnings,
          patch: diffJson(object, result.pod),
          annotations: { decision: 'injected', plan: result.planDigest },
        },
      }
  }
}

/** What was injected is for the pod's whole life. Only its image may become the operator's newer one. */
function update({ object, oldObject }: AdmissionRequest, { settings }: AdmissionDeps): Decision {
  const [before, after] = [annotationsOf(oldObject), annotationsOf(object)]
  const changed = [secretsAnnotation, planAnnotation, caAnnotation].find(
    (name) => before[name] !== after[name],
  )
  if (changed !== undefined) {
    return refuse(
      `${changed} of a pod cannot change; change the template that the pod comes from, and new pods have it`,
    )
  }
  const [was, is] = [sidecarOf(oldObject), sidecarOf(object)]
  if (was !== undefined && was['image'] !== is?.['image'] && is?.['image'] !== settings.image) {
    return refuse(`the image of container ${sidecarName} is the operator's to choose`)
  }
  return left()
}

function annotationsOf(pod: JsonObject): JsonObject {
  return objectOf(objectOf(pod['metadata'])['annotations'])
}

function sidecarOf(pod: JsonObject): JsonObject | undefined {
  return objectsOf(objectOf(pod['spec'])['initContainers']).find(
    ({ name }) => textOf(name) === sidecarName,
  )
}
