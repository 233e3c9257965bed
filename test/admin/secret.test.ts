import test from 'ava'
import { secretList, secretRemove, secretSet } from '../../src/admin/secret/secret.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { openSecretStore } from '../../src/secrets/sources/open.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const target = { namespace: 'shop', name: 'db' }
const text = (value: string): SecretBytes => SecretBytes.take(Buffer.from(value))

async function open(context: RecordedContext): ReturnType<typeof openSecretStore> {
  const storeRoot = 'file:roots/root'
  return openSecretStore('store', { storeRoot, create: true, deps: context })
}

test('set adds and replaces single keys; list shows keys and sizes, never values', async (t) => {
  const context = await recordedContext(t)
  using secrets = await open(context)
  const set = (key: string, value: string): Promise<string> =>
    secretSet(secrets, { target, key, value: text(value) })
  t.is(await set('password', 'hunter2'), 'shop/db is a new secret, with the key password')
  t.is(await set('username', 'shop'), 'username is new in shop/db')
  t.is(await set('password', 'correct horse'), 'password of shop/db is replaced')
  using content = await secrets.load(target)
  t.deepEqual(
    content?.entries.map(({ key, value }) => [key, Buffer.from(value.expose()).toString()]),
    [
      ['password', 'correct horse'],
      ['username', 'shop'],
    ],
  )
  await secretList(secrets, { terminal: context.terminal, namespace: undefined, format: 'json' })
  t.deepEqual(JSON.parse(context.data.join('')), {
    secrets: [
      {
        ...target,
        keys: [
          { key: 'password', bytes: 13 },
          { key: 'username', bytes: 4 },
        ],
      },
    ],
  })
  t.false(context.data.join('').includes('horse'))
})

test('remove takes one key, then all; it asks, and says what is not there', async (t) => {
  const context = await recordedContext(t)
  using secrets = await open(context)
  await secretSet(secrets, { target, key: 'a', value: text('1') })
  await secretSet(secrets, { target, key: 'b', value: text('2') })
  const remove = (key: string | undefined, yes: boolean): Promise<void> =>
    secretRemove(secrets, { terminal: context.terminal, target, key, yes })
  await t.throwsAsync(remove('c', true), { code: 'ERR_USAGE' })
  await t.throwsAsync(remove('a', false), { code: 'ERR_USAGE' })
  await remove('a', true)
  using rest = await secrets.load(target)
  t.deepEqual(
    rest?.entries.map(({ key }) => key),
    ['b'],
  )
  await remove(undefined, true)
  t.is(await secrets.load(target), undefined)
  await t.throwsAsync(remove(undefined, true), { code: 'ERR_USAGE' })
})
