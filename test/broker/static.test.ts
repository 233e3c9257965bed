import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { stringify } from 'yaml'
import { createRandomPool } from '../../src/base/random.ts'
import { systemDisk } from '../../src/clients/disk.ts'
import { openSecretStore, type FileSecretStore } from '../../src/secrets/sources/open.ts'
import { until } from '../e2e/support/until.ts'
import { farewell, openStream, shows } from '../support/broker-client.ts'
import { startBroker, tokenDigest, type TestBroker } from '../support/broker.ts'
import { contentOf, temporaryDirectory } from '../support/secret-store.ts'

interface Opened {
  readonly broker: TestBroker
  readonly store: FileSecretStore
  readonly directory: string
}

async function writeAuth(directory: string, mount: readonly string[]): Promise<void> {
  const file = {
    accounts: [{ namespace: 'shop', name: 'web', mount }],
    pods: [
      {
        namespace: 'shop',
        name: 'web-0',
        uid: 'u-0',
        account: 'web',
        tokenSha256: tokenDigest('token-0'),
      },
    ],
  }
  await fs.writeFile(`${directory}/auth.yaml.new`, stringify(file))
  await fs.rename(`${directory}/auth.yaml.new`, `${directory}/auth.yaml`)
}

async function open(t: ExecutionContext): Promise<Opened> {
  const directory = await temporaryDirectory(t)
  await writeAuth(directory, ['db', 'tls'])
  await fs.mkdir(`${directory}/data`)
  const store = await openSecretStore(`${directory}/data/store`, {
    storeRoot: `file:${directory}/root/store.root`,
    create: true,
    deps: {
      disk: systemDisk,
      random: createRandomPool(),
      uid: process.getuid?.() ?? 0,
      cwd: '/',
      now: () => Date.now(),
    },
  })
  await store.update({ namespace: 'shop', name: 'db' }, () =>
    contentOf({ password: 'one', user: 'web' }),
  )
  return { broker: await startBroker(t, { directory }), store, directory }
}

test('a pod gets what its account may mount, changes as they come, and loses what is taken away', async (t) => {
  const { broker, store, directory } = await open(t)
  const stream = openStream(t, broker, {
    token: 'token-0',
    references: ['db', 'tls', 'forbidden', 'vault:x'],
  })
  const rest = 'tls=NOT_FOUND, forbidden=DENIED, vault:x=DENIED'
  await shows(t, stream, `db=READY password=one user=web, ${rest}`)
  t.is(stream.sets.length, 1)
  await store.update({ namespace: 'shop', name: 'db' }, () => contentOf({ password: 'two' }))
  await shows(t, stream, `db=READY password=two, ${rest}`)
  await writeAuth(directory, ['tls'])
  await shows(t, stream, `db=DENIED, ${rest}`)
  await writeAuth(directory, ['tls', 'db', 'vault:x'])
  await shows(
    t,
    stream,
    'db=READY password=two, tls=NOT_FOUND, forbidden=DENIED, vault:x=UNAVAILABLE(SOURCE_NOT_CONFIGURED)',
  )
  await store.update({ namespace: 'shop', name: 'db' }, () => undefined)
  await shows(
    t,
    stream,
    'db=NOT_FOUND, tls=NOT_FOUND, forbidden=DENIED, vault:x=UNAVAILABLE(SOURCE_NOT_CONFIGURED)',
  )
})

test('a token that is not in the file is refused, and so is a pod that leaves it', async (t) => {
  const { broker, directory } = await open(t)
  const forged = openStream(t, broker, { token: 'token-1', references: ['db'] })
  t.is(await farewell(t, forged), 'TOKEN_REFUSED UNAUTHENTICATED')
  const stream = openStream(t, broker, { token: 'token-0', references: ['db'] })
  await shows(t, stream, 'db=READY password=one user=web')
  await fs.writeFile(`${directory}/auth.yaml`, 'accounts: []\n')
  t.is(await farewell(t, stream), 'POD_GONE PERMISSION_DENIED')
})

test('a static file that cannot be read leaves what was before in force', async (t) => {
  const { broker, directory, store } = await open(t)
  const stream = openStream(t, broker, { token: 'token-0', references: ['db'] })
  await shows(t, stream, 'db=READY password=one user=web')
  await fs.writeFile(`${directory}/auth.yaml`, 'accounts: [{')
  await until('the complaint', () => broker.log.of('cluster.failing').length > 0, {
    timeoutMs: 40_000,
  })
  await store.update({ namespace: 'shop', name: 'db' }, () => contentOf({ password: 'two' }))
  await shows(t, stream, 'db=READY password=two')
})
