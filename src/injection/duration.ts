import type { Report } from './fields.ts'
import { maxGraceMs } from './plan.ts'
import { nounOf } from './tree.ts'
import type { Tree } from './tree.ts'

const unitMs = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const

/** A length of time, `30s`, as milliseconds; `undefined` when `text` is none. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d{1,9})(ms|s|m|h)$/.exec(text)
  if (found === null) return undefined
  const unit = found[2] as keyof typeof unitMs
  return Number(found[1]) * unitMs[unit]
}

/** The inverse of {@link parseDuration}, in the largest unit that is exact. */
export function printDuration(ms: number): string {
  const units = Object.entries(unitMs)
  const [unit, length] = units.find(([, each]) => ms !== 0 && ms % each === 0) ?? ['s', 1000]
  return `${ms / length}${unit}`
}

/** How long denied files stay, in milliseconds. */
export function readGrace(node: Tree, report: Report): number | undefined {
  if (node.kind !== 'text') {
    const fix = `write a number and a unit, such as ${/^\d{1,5}$/.test(sourceOf(node)) ? sourceOf(node) : '30'}s`
    report(node, { problem: `expected a length of time, got ${nounOf(node)}`, fix })
    return undefined
  }
  const ms = parseDuration(node.value)
  if (ms !== undefined && ms <= maxGraceMs) return ms
  report(node, {
    problem:
      ms === undefined ? 'is not a length of time' : `is longer than ${printDuration(maxGraceMs)}`,
    fix: 'write a number and a unit, such as 30s, 5m or 1h',
  })
  return undefined
}

function sourceOf(node: Tree): string {
  return node.kind === 'other' ? node.source : ''
}
