import test from 'ava'
import fc from 'fast-check'
import {
  formatSecretReference,
  isSecretKey,
  parseSecretReference,
  parseSecretTarget,
} from '../../src/secrets/reference.ts'

test('a reference has a name and perhaps a source', (t) => {
  t.deepEqual(parseSecretReference('db'), { source: undefined, name: 'db' })
  t.deepEqual(parseSecretReference('vault:team.db-1'), { source: 'vault', name: 'team.db-1' })
})

test('what cannot name a secret is refused', (t) => {
  const refused = [
    '',
    ':',
    ':db',
    'vault:',
    'vault:db:x',
    'Vault:db',
    '1vault:db',
    'shop/db',
    '../db',
    'db\n',
    'DB',
    '-db',
    'db.',
    'a..b',
    'd b',
    'dü',
    'a'.repeat(254),
    `${'a'.repeat(33)}:db`,
  ]
  for (const text of refused) {
    t.throws(() => parseSecretReference(text), { code: 'ERR_SECRET_NAME' }, JSON.stringify(text))
  }
})

test('every reference that can be read is printed as it was', (t) => {
  fc.assert(
    fc.property(fc.stringMatching(/^([a-z][a-z0-9-]{0,8}:)?[a-z0-9.:/-]{1,12}$/), (text) => {
      try {
        return formatSecretReference(parseSecretReference(text)) === text
      } catch (error) {
        return (error as { code?: string }).code === 'ERR_SECRET_NAME'
      }
    }),
  )
  t.pass()
})

test('NAMESPACE/NAME, and nothing else, is a target', (t) => {
  t.deepEqual(parseSecretTarget('shop/db'), { namespace: 'shop', name: 'db' })
  for (const text of [
    'db',
    'shop/',
    '/db',
    'shop/db/x',
    'sh.op/db',
    'shop/../db',
    `${'a'.repeat(64)}/db`,
  ]) {
    t.throws(() => parseSecretTarget(text), { code: 'ERR_SECRET_NAME' }, text)
  }
})

test('keys are what the Kubernetes API takes', (t) => {
  for (const key of ['a', '.dockerconfigjson', 'tls.crt', 'A_b-c.1', 'a'.repeat(253)])
    t.true(isSecretKey(key))
  for (const key of ['', '.', '..', '..x', 'a/b', 'a b', 'ä', 'a\0', 'a'.repeat(254)])
    t.false(isSecretKey(key))
})
