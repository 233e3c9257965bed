import test from 'ava'
import { randomBytes } from 'node:crypto'
import { cp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ErrorCode } from '../../../src/base/errors.ts'
import { type EncryptedCluster, startEncryptedCluster } from '../support/encrypted-cluster.ts'
import { useGround } from '../support/ground.ts'
import { type Keyring, createKeyring } from '../support/keyring.ts'
import { connectKms } from '../support/kms-client.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { startLoad } from '../support/load.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)
const good = join(ground.dir, 'good')

let cluster: EncryptedCluster
let older: string

test.before(async () => {
  cluster = await startEncryptedCluster(ground)
  const { keyring } = cluster
  older = join(ground.dir, 'older')
  await cp(keyring.dir, older, { recursive: true })
  await keyring.stage()
  const active = await keyring.activate()
  await serves(active)
  await cp(keyring.dir, good, { recursive: true })
})

/** Waits until the plugin answers with that key id. */
async function serves(keyId: string): Promise<void> {
  const client = await connectKms(cluster.plugin.socket)
  try {
    await until(
      `the plugin to serve ${keyId}`,
      async () => (await client.status()).keyId === keyId,
      {
        timeoutMs: 20_000,
      },
    )
  } finally {
    client.close()
  }
}

async function emptyKeyring(): Promise<string> {
  const { dir } = cluster.keyring
  for (const name of await readdir(dir)) await rm(join(dir, name))
  return dir
}

/** The file that holds the newest generation. */
async function newest(dir: string): Promise<string> {
  const name = (await readdir(dir))
    .filter((one) => /^keyring\.\d+$/.test(one))
    .sort()
    .at(-1)
  if (name === undefined) throw new Error('the keyring directory has no generation')
  return join(dir, name)
}

async function putInPlace(other: Pick<Keyring, 'dir'>): Promise<void> {
  await cp(other.dir, await emptyKeyring(), { recursive: true })
}

interface Spoiling {
  /** The code with which the plugin refuses it. */
  readonly code: ErrorCode
  readonly spoil: () => Promise<void>
}

const spoilings: Readonly<Record<string, Spoiling>> = {
  'a document cut in half': {
    code: 'ERR_KEYRING_TORN',
    spoil: async () => {
      const path = await newest(cluster.keyring.dir)
      await truncate(path, Math.floor((await readFile(path)).length / 2))
    },
  },
  'a newer document of random bytes': {
    code: 'ERR_KEYRING_FOREIGN',
    spoil: async () => {
      const path = await newest(cluster.keyring.dir)
      const number = Number(path.slice(-10)) + 1
      const next = path.slice(0, -10) + String(number).padStart(10, '0')
      await writeFile(next, randomBytes(1024), { mode: 0o600 })
    },
  },
  'one byte edited': {
    code: 'ERR_KEYRING_EDITED',
    spoil: async () => {
      const path = await newest(cluster.keyring.dir)
      const document = await readFile(path)
      const middle = Math.floor(document.length / 2)
      document.writeUInt8(document.readUInt8(middle) ^ 1, middle)
      await writeFile(path, document)
    },
  },
  'an older copy': {
    code: 'ERR_KEYRING_ROLLED_BACK',
    spoil: async () => {
      await putInPlace({ dir: older })
    },
  },
  'another keyring under the same root': {
    code: 'ERR_KEYRING_FOREIGN',
    spoil: async () => {
      await putInPlace(await createKeyring(ground, { name: 'other', root: cluster.keyring.root }))
    },
  },
  'another keyring with a root of its own': {
    code: 'ERR_ROOT_WRONG',
    spoil: async () => {
      await putInPlace(await createKeyring(ground, { name: 'stranger' }))
    },
  },
  'nothing at all': {
    code: 'ERR_KEYRING_NOT_FOUND',
    spoil: async () => {
      await emptyKeyring()
    },
  },
}

for (const [what, { code, spoil }] of Object.entries(spoilings)) {
  test.serial(`${what} in place of the keyring is refused, and the service goes on`, async (t) => {
    const { keyring, plugin, server } = cluster
    const client = await connectKms(plugin.socket)
    t.teardown(() => {
      client.close()
    })
    const { keyId } = await client.status()
    const sealed = await client.encrypt(Buffer.alloc(32, 7))
    const logged = output().length
    const load = startLoad(t, server.admin, {
      name: `load-${Object.keys(spoilings).indexOf(what)}`,
    })

    await spoil()
    // Copying is not atomic: it may have been refused for something else in between.
    await until(
      `the plugin to refuse it with ${code}`,
      () => output().slice(logged).includes(code),
      {
        timeoutMs: 30_000,
      },
    )
    t.like(await client.status(), { keyId, healthz: 'ok' })
    t.deepEqual(await client.decrypt(sealed), Buffer.alloc(32, 7))
    t.true((await kmsCheck(server.admin)).ok)
    t.deepEqual((await load.stop()).failures, [])
    t.true(plugin.child().running())

    await cp(good, await emptyKeyring(), { recursive: true })
    t.like(await client.status(), { keyId, healthz: 'ok' })
    t.is(await keyring.active(), keyId)
  })
}

test.serial('after all that, the next good generation is taken', async (t) => {
  const { keyring } = cluster
  await keyring.stage()
  await t.notThrowsAsync(serves(await keyring.activate()))
})

function output(): string {
  return cluster.plugin.child().stderr()
}
