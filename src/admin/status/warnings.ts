import type { Status, StatusWarning } from './status.ts'

/** What an administrator should see to, most urgent first. */
export function warningsOf(
  seen: Omit<Status, 'warnings'>,
  { maxKeyAgeDays }: { readonly maxKeyAgeDays: number },
): readonly StatusWarning[] {
  const warnings: StatusWarning[] = []
  const warn = (message: string, remedy: string): void => {
    warnings.push({ message, remedy })
  }
  const { activeKey, stagedKey, rotation, nodes } = seen
  if (nodes !== null && nodes.behind.length > 0) {
    warn(
      `${nodes.behind.join(', ')} has not loaded generation ${seen.generation}`,
      'see "latchkey keys nodes", and the log of latchkey-kms there',
    )
  }
  const silent = nodes?.silent.filter((name) => !nodes.behind.includes(name)) ?? []
  if (silent.length > 0) {
    warn(
      `${silent.join(', ')} gives no sign of life`,
      'start latchkey-kms there, or, if the node is gone for good: latchkey keys nodes remove NAME',
    )
  }
  if (rotation !== null) {
    warn('a rotation has begun and not ended', 'run "latchkey keys rotate" again: it goes on')
  } else if (stagedKey !== null) {
    warn(
      `key ${stagedKey.id} is staged`,
      `finish with "latchkey keys rotate", or give it up with "latchkey keys destroy ${stagedKey.id}"`,
    )
  }
  if (activeKey.sinceDays > maxKeyAgeDays) {
    warn(
      `the active key has been active for ${activeKey.sinceDays} days, and ${maxKeyAgeDays} are allowed`,
      'rotate it: "latchkey keys rotate" (KEP-3299 recommends at least every 90 days)',
    )
  }
  return warnings
}
