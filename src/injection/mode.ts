import type { Report } from './fields.ts'
import { nounOf } from './tree.ts'
import type { Tree } from './tree.ts'

/**
 * Permission bits, as quoted octal text of four digits. YAML 1.1 and 1.2 disagree on what an unquoted
 * 0440 is, so a number is refused.
 */
export function readMode(node: Tree, report: Report): number | undefined {
  if (node.kind !== 'text') {
    const octal = node.kind === 'other' && /^0?[0-7]{3}$/.test(node.source)
    report(node, {
      problem: `expected quoted octal text, got ${nounOf(node)}`,
      fix: `write ${octal ? `"0${node.source.slice(-3)}"` : '"0400" or "0440"'}`,
    })
    return undefined
  }
  if (!/^0[0-7]{3}$/.test(node.value)) {
    report(node, {
      problem: 'expected four octal digits, the first of them 0',
      fix: 'write "0400" or "0440"',
    })
    return undefined
  }
  const mode = Number.parseInt(node.value, 8)
  const refusal = refuseMode(mode)
  if (refusal === undefined) return mode
  report(node, { problem: refusal, fix: `write ${printMode(narrowed(mode))}` })
  return undefined
}

/** `"0440"`: as it is written in a plan, quotes included. */
export function printMode(mode: number): string {
  return `"0${mode.toString(8).padStart(3, '0')}"`
}

/** Why `mode` may not be used, or `undefined` when it may. */
function refuseMode(mode: number): string | undefined {
  if ((mode & 0o007) !== 0) return 'must give nothing to others'
  if ((mode & 0o020) !== 0) return 'must not let the group write'
  if ((mode & 0o400) === 0) return 'must let the owner read'
  if ((mode & 0o050) === 0o010) return 'must let the group read what it may execute'
  if ((mode & 0o110) === 0o010) return 'must let the owner execute what the group may execute'
  return undefined
}

/** The nearest mode that may be used. */
function narrowed(mode: number): number {
  const group = (mode & 0o050) === 0o050 && (mode & 0o100) !== 0 ? 0o050 : mode & 0o040
  return (mode & 0o700) | 0o400 | group
}
