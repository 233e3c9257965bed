import test from 'ava'
import { LatchkeyError } from '../../src/base/errors.ts'
import { exitCodeOf, exitCodes } from '../../src/base/exit-code.ts'

test('exit codes are 0 done, 1 failed, 2 used wrongly, 3 refused, 4 found', (t) => {
  t.deepEqual(exitCodes, { done: 0, failed: 1, usage: 2, wouldLoseData: 3, unexpected: 4 })
})

for (const [code, exit] of [
  ['ERR_USAGE', 2],
  ['ERR_CONFIG_INVALID', 2],
  ['ERR_WOULD_LOSE_DATA', 3],
  ['ERR_KEYRING_EXISTS', 3],
  ['ERR_KEYRING_ROLLED_BACK', 3],
  ['ERR_KEYRING_FORKED', 3],
  ['ERR_KEYRING_FOREIGN', 1],
  ['ERR_UNEXPECTED', 4],
  ['ERR_IO', 1],
  ['ERR_KEYRING_EDITED', 1],
] as const) {
  test(`${code} exits with ${exit}`, (t) => {
    t.is(exitCodeOf(new LatchkeyError(code, 'what')), exit)
  })
}

test('whatever is not ours is a failure', (t) => {
  t.is(exitCodeOf(new Error('what')), 1)
  t.is(exitCodeOf(undefined), 1)
})
