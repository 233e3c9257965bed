import { LatchkeyError } from '../base/errors.ts'
import type { Terminal } from './terminal.ts'

/**
 * Says what is about to happen and asks for agreement, unless `yes` gives it.
 *
 * @throws `ERR_USAGE` when nobody can be asked; `ERR_ABORTED` when the answer is not `yes`.
 */
export async function confirm(
  terminal: Terminal,
  options: { readonly explanation: readonly string[]; readonly yes: boolean },
): Promise<void> {
  for (const line of options.explanation) terminal.say(line)
  if (options.yes) return
  if (!terminal.interactive) {
    throw new LatchkeyError('ERR_USAGE', 'this needs agreement, and no terminal is attached', {
      hint: 'repeat the command with --yes when you agree; nothing was changed',
    })
  }
  // An end of the input, or a key that interrupts, is an answer as well.
  const answer = await terminal.ask('Go on? Type "yes" to agree: ').catch(() => '')
  if (answer.trim().toLowerCase() === 'yes') return
  throw new LatchkeyError('ERR_ABORTED', 'not agreed; nothing was changed')
}
