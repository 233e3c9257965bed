import test from 'ava'
import { accountOfUser, isReference, mountAct } from '../../../src/admin/rbac/act.ts'
import { Ledger } from '../../../src/admin/rbac/ledger.ts'

const act = (secret: string) => mountAct({ namespace: 'shop', serviceAccount: 'web' }, secret)

test('the latest answer counts, in whatever order logs are read', (t) => {
  const standing = (
    ...outcomes: readonly (readonly ['allowed' | 'denied' | 'unknown', number])[]
  ) => {
    const ledger = new Ledger()
    for (const [outcome, timeMs] of outcomes) ledger.record(act('db'), outcome, timeMs)
    return ledger.entries()[0]?.standing
  }
  t.is(standing(['allowed', 1]), 'used')
  t.is(standing(['denied', 1]), 'denied')
  t.is(standing(['unknown', 1]), 'asked')
  t.is(standing(['denied', 2], ['allowed', 1]), 'revoked')
  t.is(standing(['allowed', 2], ['denied', 1]), 'used')
  t.is(standing(['denied', 1], ['unknown', 2]), 'denied')
})

test('first and last time, and the time that logs cover', (t) => {
  const ledger = new Ledger()
  for (const timeMs of [5, 3, 9]) {
    ledger.record(act('db'), 'allowed', timeMs)
    ledger.cover('mount', timeMs)
  }
  t.like(ledger.entries()[0], { firstMs: 3, lastMs: 9 })
  t.deepEqual(ledger.covered('mount'), { fromMs: 3, toMs: 9 })
  t.is(ledger.covered('api'), undefined)
})

test('logs that tell of more than is kept are an error, not a part of the truth', (t) => {
  const ledger = new Ledger({ maxActs: 2 })
  for (const secret of ['a', 'b', 'a']) ledger.record(act(secret), 'allowed', 1)
  const more = (): void => {
    ledger.record(act('c'), 'allowed', 1)
  }
  t.throws(more, { code: 'ERR_LIMIT' })
})

test('only a user name of an account is one', (t) => {
  t.deepEqual(accountOfUser('system:serviceaccount:shop:web'), { namespace: 'shop', name: 'web' })
  for (const name of ['web', 'system:serviceaccount:shop', 'system:serviceaccount:a:b:c', 7]) {
    t.is(accountOfUser(name), undefined)
  }
  t.true(isReference('vault:db'))
  t.false(isReference('a/b'))
})
