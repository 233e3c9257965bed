import type { MigrateProgress } from './report.ts'

const barWidth = 24

/** One line that says where a migration is: `secrets  [=====>    ]  1,204/20,000  310/s  61 s left`. */
export function progressLine(now: MigrateProgress): string {
  const { resource, phase, done, total, perSecond, secondsLeft, refused, inFlight } = now
  if (phase !== 'rewriting') return `${resource}: ${phase === 'listing' ? 'looking' : 'checking'}`
  const parts = [
    resource,
    ...(total === undefined || total === 0 ? [] : [bar(done / total)]),
    total === undefined ? String(done) : `${done}/${total}`,
    `${Math.round(perSecond)}/s`,
    `${inFlight} in flight`,
    ...(secondsLeft === undefined ? [] : [`${duration(secondsLeft)} left`]),
    ...(refused === 0 ? [] : [`${refused} refused`]),
  ]
  return parts.join('  ')
}

function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * barWidth)
  return `[${'='.repeat(filled)}${' '.repeat(barWidth - filled)}]`
}

/** `48 s`, `12 min`, `3.5 h`. */
function duration(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}
