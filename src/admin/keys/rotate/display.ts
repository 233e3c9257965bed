import type { Terminal } from '../../terminal.ts'
import { steps, type RotationEvent, type StepName } from './events.ts'

const titles: Readonly<Record<StepName, string>> = {
  look: 'look',
  stage: 'stage',
  'acknowledge-staged': 'acknowledge',
  activate: 'activate',
  'acknowledge-active': 'acknowledge',
  prove: 'prove',
  migrate: 'migrate',
  settle: 'settle',
  scan: 'scan',
  retire: 'retire',
}

/** How often a step that goes on is told where nobody watches, in milliseconds. */
const repeatMs = 10_000

/**
 * Shows a rotation: for automation an event a line on stdout; for people a line for each step that
 * is done, and, on a terminal, one line that follows the step that goes on.
 */
export function createDisplay(
  terminal: Terminal,
  options: { readonly json: boolean; readonly now: () => number },
): (event: RotationEvent) => void {
  if (options.json) {
    return (event) => {
      const at = new Date(options.now()).toISOString()
      terminal.data(JSON.stringify({ at, ...event }))
    }
  }
  let toldMs = -Infinity
  let told: StepName | undefined
  return (event) => {
    if (event.event === 'finished') {
      terminal.progress?.('')
      return
    }
    if (event.event === 'note') {
      terminal.say(`note: ${event.text}`)
      return
    }
    const line = lineOf(event)
    if (event.state === 'done') {
      terminal.say(line)
      told = undefined
      return
    }
    if (terminal.progress !== undefined) {
      terminal.progress(line)
      return
    }
    const nowMs = options.now()
    if (told === event.step && nowMs - toldMs < repeatMs) return
    told = event.step
    toldMs = nowMs
    terminal.say(line)
  }
}

/** `[7/10] migrate: rewriting secrets, 812 of 20000, about 61 s`. */
function lineOf(event: RotationEvent & { readonly event: 'step' }): string {
  const { step, state, text, done, total, etaSeconds } = event
  const place = `[${steps.indexOf(step) + 1}/${steps.length}] ${titles[step]}`
  const parts = [
    text,
    ...(state === 'progress' && done !== undefined && total !== undefined
      ? [`${done} of ${total}`]
      : []),
    ...(etaSeconds === undefined ? [] : [`about ${duration(etaSeconds)} left`]),
  ]
  return `${place}: ${parts.join(', ')}`
}

/** `48 s`, `12 min`, `3.5 h`. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}
