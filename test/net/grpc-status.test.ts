import { status } from '@grpc/grpc-js'
import test from 'ava'
import { LatchkeyError } from '../../src/base/errors.ts'
import { toGrpcFailure } from '../../src/net/grpc-status.ts'

test('our errors have a fixed sentence and their code, never their own message', (t) => {
  const error = new LatchkeyError('ERR_KEY_UNKNOWN', 'no key lk1.1.secret in /var/lib/keys', {
    hint: 'look at /root/.key',
    cause: new Error('password is hunter2'),
  })
  t.deepEqual(toGrpcFailure(error), {
    code: status.NOT_FOUND,
    details: 'the key id is not in the keyring (ERR_KEY_UNKNOWN)',
  })
})

test('errors of this machine are internal, and say only their code', (t) => {
  t.deepEqual(toGrpcFailure(new LatchkeyError('ERR_IO', '/etc/shadow: EACCES')), {
    code: status.INTERNAL,
    details: 'internal error (ERR_IO)',
  })
})

test('anything else is an internal error', (t) => {
  for (const thrown of [new Error('hunter2'), 'hunter2', undefined, { code: 'ERR_KEY_UNKNOWN' }]) {
    t.deepEqual(toGrpcFailure(thrown), { code: status.INTERNAL, details: 'internal error' })
  }
})
