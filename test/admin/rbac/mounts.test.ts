import test from 'ava'
import { decided, review, runSuggest } from '../../support/rbac-suggest.ts'

test('what a broker allowed becomes a Role for the secret and a binding for the account', async (t) => {
  const { names, report } = await runSuggest(t, {
    broker: [
      decided('secret.allowed', 'db'),
      decided('secret.allowed', 'db'),
      decided('secret.allowed', 'db', { who: { namespace: 'shop', account: 'worker' } }),
      decided('set.delivered', 'x', {
        what: [
          { secret: 'vault:api', keys: [], status: 'READY' },
          { secret: 'gone', keys: [], status: 'DENIED' },
        ],
      }),
    ],
  })
  t.deepEqual(names, [
    'Role shop/latchkey-mount-db',
    'RoleBinding shop/latchkey-mount-db:web',
    'Role shop/latchkey-mount-vault:api',
    'RoleBinding shop/latchkey-mount-vault:api:web',
    'RoleBinding shop/latchkey-mount-db:worker',
  ])
  t.deepEqual(report.roles.items[0]?.['rules'], [
    { apiGroups: [''], resources: ['secrets'], resourceNames: ['db'], verbs: ['mount'] },
  ])
  t.is(report.covered.api, null)
  t.like(report.covered.mount, { from: '2026-05-01T10:00:00Z' })
})

test('no two accounts share a binding, whatever they and the secrets are called', async (t) => {
  const { names } = await runSuggest(t, {
    broker: [
      decided('secret.allowed', 'app', { who: { namespace: 'shop', account: 'db-web' } }),
      decided('secret.allowed', 'app-db', { who: { namespace: 'shop', account: 'web' } }),
    ],
  })
  t.deepEqual(names, [
    'Role shop/latchkey-mount-app',
    'RoleBinding shop/latchkey-mount-app:db-web',
    'Role shop/latchkey-mount-app-db',
    'RoleBinding shop/latchkey-mount-app-db:web',
  ])
})

test('what was denied, or taken away since, is told and not suggested unless asked for', async (t) => {
  const logs = {
    broker: [
      decided('secret.denied', 'admin'),
      decided('secret.revoked', 'old', { time: '2026-05-02T10:00:00.000Z' }),
      decided('secret.allowed', 'old'),
      decided('secret.revoked', 'back'),
      decided('secret.allowed', 'back', { time: '2026-05-02T10:00:00.000Z' }),
    ],
  }
  const { names, report, context } = await runSuggest(t, logs)
  t.deepEqual(names, ['Role shop/latchkey-mount-back', 'RoleBinding shop/latchkey-mount-back:web'])
  t.deepEqual(
    report.acts.map(({ name, standing }) => [name, standing]),
    [
      ['admin', 'denied'],
      ['back', 'used'],
      ['old', 'revoked'],
    ],
  )
  t.regex(context.said.join('\n'), /2 act\(s\) were denied/)
  t.is((await runSuggest(t, logs, { denied: true })).names.length, 6)
})

test('reviews by the broker tell of mounts, those of anybody else do not', async (t) => {
  const stranger = { user: { username: 'system:serviceaccount:shop:evil' } }
  const { names, report } = await runSuggest(t, {
    api: [
      review({ name: 'db' }, true),
      review({ name: 'no' }, false),
      review({ name: 'maybe' }, undefined),
      review({ name: 'forged' }, true, stranger),
      review({ name: 'elsewhere', namespace: 'bank' }, true),
      review({ name: 'got', verb: 'get' }, true),
      review({ name: 'received' }, true, { stage: 'RequestReceived' }),
    ],
  })
  t.deepEqual(names.slice(0, 2), [
    'Role shop/latchkey-mount-db',
    'RoleBinding shop/latchkey-mount-db:web',
  ])
  t.is(names.filter((name) => name.includes('mount')).length, 2)
  const mounts = report.acts.filter(({ verb }) => verb === 'mount')
  t.deepEqual(
    mounts.map(({ name, standing }) => [name, standing]),
    [
      ['db', 'used'],
      ['maybe', 'asked'],
      ['no', 'denied'],
    ],
  )
})

test('reviews without content are told of, since they prove nothing', async (t) => {
  const { context, report } = await runSuggest(t, {
    api: [review({ name: 'db' }, true, { requestObject: undefined, responseObject: undefined })],
  })
  t.regex(context.said.join('\n'), /level RequestResponse/)
  t.is(report.covered.mount, null)
})

test('names that no object can have never come into a Role', async (t) => {
  const { report } = await runSuggest(t, {
    broker: [
      decided('secret.allowed', 'db\n---\nkind: x'),
      decided('secret.allowed', '*'),
      decided('secret.allowed', 'db', { who: { namespace: '../x', account: 'web' } }),
      decided('secret.allowed', 'db', { who: { namespace: 'shop', account: '' } }),
    ],
    api: [review({ name: '*' }, true), review({ name: 'a/b' }, true)],
  })
  t.deepEqual(
    report.acts.filter(({ verb }) => verb === 'mount'),
    [],
  )
})
