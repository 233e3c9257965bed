import { LatchkeyError } from '../base/errors.ts'
import { readCanonicalPlan } from '../injection/canonical.ts'
import type { MountPlan } from '../injection/plan.ts'
import { planDigest } from '../injection/print.ts'

/**
 * Reads the plan that the sidecar was given. What the webhook wrote is read without a YAML parser;
 * what a person wrote, or wrote wrong, with one.
 *
 * @throws `ERR_PLAN_INVALID`, with a line for each problem; `ERR_CONFIG_INVALID` when it is another
 * plan than `digest` says.
 */
export async function readPlanFile(text: string, digest: string | undefined): Promise<MountPlan> {
  const canonical = readCanonicalPlan(text)
  const plan = canonical ?? (await import('../injection/parse.ts')).parsePlan(text)
  if (digest === undefined || digest === planDigest(plan)) return plan
  throw new LatchkeyError('ERR_CONFIG_INVALID', 'the plan is not the one of --plan-digest', {
    hint: 'the pod’s plan was changed after it was admitted: delete the pod',
  })
}
