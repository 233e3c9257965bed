import type { RotationOutcome, RotationPlan } from './rotate.ts'
import { duration } from './display.ts'

/** What a rotation is about to do, for people. */
export function explainPlan(
  plan: RotationPlan,
  { requestTimeoutMs }: { readonly requestTimeoutMs: number },
): readonly string[] {
  const { resumes, activeKeyId, stagedKeyId, superseded, members, servers, storage } = plan
  const begins =
    resumes === undefined
      ? stagedKeyId === undefined
        ? 'A new key is staged and, when every member has it, activated.'
        : `Key ${stagedKeyId} is staged already and, when every member has it, activated.`
      : `The rotation that began ${resumes.startedAt} goes on${resumes.keyId === undefined ? '' : `, to key ${resumes.keyId}`}.`
  const old = [...superseded, activeKeyId].filter((id) => id !== resumes?.keyId)
  const rate =
    plan.migrationSeconds === undefined
      ? 'how long that takes is told once it has begun'
      : `about ${duration(plan.migrationSeconds)}, going by the last rotation`
  return [
    begins,
    `Members that must acknowledge: ${members.join(', ')}.`,
    `API servers that must be proved, up to a minute each, all at once: ${servers.join(', ')}.`,
    `Objects to rewrite: ${plan.objects} of ${storage.objects} in etcd; ${rate}.`,
    `Then one request timeout (${requestTimeoutMs / 1000} s), a scan of etcd, and, when nothing needs them, these are retired: ${old.join(', ')}.`,
    'A retired key goes on decrypting. The command can be interrupted and repeated at any time.',
  ]
}

/** The same as JSON; field names are an interface. */
export function planValue(plan: RotationPlan): Readonly<Record<string, unknown>> {
  const { resumes, storage, ...rest } = plan
  return {
    ...rest,
    resumes: resumes ?? null,
    revision: storage.revision,
    uses: storage.uses,
  }
}

/** What a rotation came to, for people. */
export function explainOutcome({ retired, revision, accepted }: RotationOutcome): string {
  const what = retired.join(', ') || 'an old key'
  const but =
    accepted.length === 0 ? '' : ` but ${accepted.length} object(s) that were accepted by name`
  return `Rotated: nothing in etcd${but} needs ${what} at revision ${revision}.`
}
