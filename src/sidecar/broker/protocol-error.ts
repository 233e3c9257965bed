import { LatchkeyError } from '../../base/errors.ts'

/** The error for a message that breaks a rule of the protocol. */
export function malformed(what: string, cause?: unknown): LatchkeyError<'ERR_BROKER_PROTOCOL'> {
  return new LatchkeyError('ERR_BROKER_PROTOCOL', `the broker's message is malformed: ${what}`, {
    hint: 'check that broker and sidecar are releases that belong together',
    ...(cause !== undefined && { cause }),
  })
}
