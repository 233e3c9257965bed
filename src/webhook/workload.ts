import { isDeepStrictEqual } from 'node:util'
import { secretsAnnotation } from '../injection/names.ts'
import { readPlan } from '../injection/parse.ts'
import { readPodFacts } from '../injection/pod/facts.ts'
import { objectOf, textOf, type JsonObject } from '../injection/pod/json.ts'
import { placePlan } from '../injection/pod/place.ts'
import { describeProblems, left, refuse, type Decision } from './decision.ts'
import type { AdmissionRequest } from './review.ts'
import type { SidecarSettings } from './settings.ts'

/**
 * Judges a workload by its pod template, so that whoever applies it learns at once what its pods
 * would be refused for. A template that an update leaves as it was is not judged again: scaling a
 * workload, or removing a finalizer, must not fail for what was there before.
 */
export function judgeTemplate(request: AdmissionRequest, settings: SidecarSettings): Decision {
  const template = templateOf(request.resource, request.object)
  const before = templateOf(request.resource, request.oldObject)
  const list = objectOf(objectOf(template['metadata'])['annotations'])[secretsAnnotation]
  if (list === undefined || isDeepStrictEqual(template, before)) return left()
  const reading = readPlan(textOf(list) ?? '')
  const result =
    reading.kind === 'problems' ? reading : placePlan(reading, readPodFacts(template), settings)
  if (result.kind === 'problems') {
    return refuse(describeProblems(result.problems), 'ERR_PLAN_INVALID')
  }
  return {
    outcome: 'accepted',
    answer: { allowed: true, warnings: result.placement.warnings, annotations: {} },
  }
}

/** The pod template of an object. */
function templateOf(resource: string, object: JsonObject): JsonObject {
  const spec = objectOf(object['spec'])
  switch (resource) {
    case 'podtemplates':
      return objectOf(object['template'])
    case 'cronjobs':
      return objectOf(objectOf(objectOf(spec['jobTemplate'])['spec'])['template'])
    default:
      return objectOf(spec['template'])
  }
}
