import test from 'ava'
import {
  describeError,
  abortedError,
  isLatchkeyError,
  LatchkeyError,
  systemCode,
} from '../../src/base/errors.ts'

test('an error carries code, message, hint and cause', (t) => {
  const cause = new Error('why')
  const error = new LatchkeyError('ERR_IO', 'what', { hint: 'do this', cause })
  t.like(error, { name: 'LatchkeyError', code: 'ERR_IO', message: 'what', hint: 'do this', cause })
  t.false('cause' in new LatchkeyError('ERR_IO', 'what'))
  t.is(new LatchkeyError('ERR_IO', 'what').hint, undefined)
})

test('codes are told apart', (t) => {
  const error: unknown = new LatchkeyError('ERR_IO', 'what')
  t.true(isLatchkeyError(error))
  t.true(isLatchkeyError(error, 'ERR_IO'))
  t.false(isLatchkeyError(error, 'ERR_DISK_FULL'))
  t.false(isLatchkeyError(Object.assign(new Error('what'), { code: 'ERR_IO' })))
})

test('the code of a system error is its string code', (t) => {
  t.is(systemCode(Object.assign(new Error('no'), { code: 'ENOENT' })), 'ENOENT')
  t.is(systemCode(Object.assign(new Error('no'), { code: 5 })), undefined)
  t.is(systemCode(new Error('no')), undefined)
  t.is(systemCode({ code: 'ENOENT' }), undefined)
})

test('a description is one line of codes and messages, causes included', (t) => {
  const system = Object.assign(new Error('denied'), { code: 'EACCES' })
  const error = new LatchkeyError('ERR_IO', 'keyring', {
    cause: new Error('open', { cause: system }),
  })
  t.is(describeError(error), 'keyring (ERR_IO): open: denied (EACCES)')
})

test('a description never prints what was thrown instead of an error', (t) => {
  t.is(describeError('hunter2'), 'a thrown string')
  t.is(
    describeError(new Error('open', { cause: { password: 'hunter2' } })),
    'open: a thrown object',
  )
  t.is(describeError(undefined), '')
})

test('a description of causes in a circle ends', (t) => {
  const error = new Error('round')
  error.cause = error
  t.is(describeError(error), Array(5).fill('round').join(': '))
})

test('what ends a signal is thrown as it is when it is ours, and else as interrupted', (t) => {
  const ours = new LatchkeyError('ERR_ABORTED', 'stopped', { hint: 'run it again' })
  t.is(abortedError(AbortSignal.abort(ours)), ours)
  t.is(abortedError(AbortSignal.abort()).code, 'ERR_ABORTED')
})
