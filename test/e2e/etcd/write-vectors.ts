import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { withGround } from '../../bench/bench-ground.ts'
import { startEncryptedCluster } from '../support/encrypted-cluster.ts'
import {
  identityProvider,
  kmsProvider,
  kmsV1Provider,
  localProvider,
  writeEncryptionConfig,
  type Provider,
} from '../support/encryption-config.ts'
import { etcdctl, saveSnapshot } from '../support/etcdctl.ts'
import { latchkey } from '../support/keyring.ts'
import { collection } from '../support/kubernetes.ts'
import { transform } from '../support/transformer.ts'

// node test/e2e/etcd/write-vectors.ts: makes test/vectors/etcd anew with a real kube-apiserver, a real
// etcd, the API server's own transformers, and our plugin. Everything in it is random, so a new run
// gives other files.

const directory = join(import.meta.dirname, '..', '..', 'vectors', 'etcd')
const passphrase = 'the passphrase of the vectors'
const names = ['small', 'large', 'empty'] as const
const key = (name: string): string => `/registry/secrets/default/${name}`

await withGround(async (ground) => {
  const cluster = await startEncryptedCluster(ground, { providers: () => [identityProvider] })
  const { admin } = cluster.server
  const { client } = cluster.etcd
  const secrets = collection('v1', 'secrets', 'default')
  const labels = { app: 'vectors' }
  await admin.create(secrets, {
    metadata: { name: 'small', labels, annotations: { note: 'kept' } },
    immutable: true,
    data: { username: 'YWRtaW4=', password: 'AP8K', empty: '' },
  })
  await admin.create(secrets, {
    metadata: { name: 'large' },
    type: 'example.com/large',
    data: { blob: Buffer.alloc(3000, 7).toString('base64') },
  })
  await admin.create(secrets, { metadata: { name: 'empty' } })
  const plain = new Map<string, Buffer>()
  for (const name of names) plain.set(name, await rawOf(name))
  await cluster.server.stop()

  const { socket } = cluster.plugin
  const providers: Readonly<Record<string, Provider>> = {
    identity: identityProvider,
    secretbox: localProvider('secretbox'),
    'aesgcm-16': localProvider('aesgcm', { keyBytes: 16, name: 'gcm-16' }),
    'aesgcm-32': localProvider('aesgcm', { name: 'gcm-32' }),
    'aescbc-24': localProvider('aescbc', { keyBytes: 24, name: 'cbc-24' }),
    'aescbc-32': localProvider('aescbc', { name: 'cbc-32' }),
    'kms-v1': kmsV1Provider(socket),
    'kms-v2-key': kmsProvider(socket),
    'kms-v2-seed': kmsProvider(socket),
    'kms-v2-seed-rotated': kmsProvider(socket),
  }
  const objects: Record<string, unknown>[] = []
  const stored: { readonly key: string; readonly value: Buffer }[] = []
  const first = await cluster.keyring.active()
  for (const [title, provider] of Object.entries(providers)) {
    if (title === 'kms-v2-seed-rotated') {
      await cluster.keyring.stage()
      await cluster.keyring.activate()
      await new Promise((done) => setTimeout(done, 3000))
    }
    const config = join(ground.dir, `${title}.yaml`)
    await writeEncryptionConfig(config, [{ resources: ['secrets'], providers: [provider] }])
    const requests = names.map((name) => ({
      op: 'write' as const,
      key: key(`${title}-${name}`),
      value: plain.get(name) ?? Buffer.alloc(0),
      dek: title === 'kms-v2-key' ? ('key' as const) : ('seed' as const),
    }))
    const written = await transform(ground, { config, resource: 'secrets' }, requests)
    for (const [index, answer] of written.entries()) {
      if ('error' in answer) throw new Error(`${title}: ${answer.error}`)
      const request = requests[index]
      if (request === undefined) throw new Error('an answer too many')
      stored.push({ key: request.key, value: answer.value })
      const [value, plaintext] = [answer.value, request.value].map((it) => it.toString('base64'))
      objects.push({ title, key: request.key, value, plaintext })
    }
  }
  const config = join(ground.dir, 'all.yaml')
  const all = Object.entries(providers).filter(([title]) => !title.startsWith('kms-v2-seed'))
  await writeEncryptionConfig(config, [
    { resources: ['secrets'], providers: all.map(([, provider]) => provider) },
  ])
  const backup = join(ground.dir, 'backup')
  const passphraseFile = join(ground.dir, 'passphrase')
  await writeFile(passphraseFile, passphrase, { mode: 0o600 })
  await latchkey(ground, [
    ...['keys', 'backup', '--keyring', cluster.keyring.dir, '--root', cluster.keyring.root],
    ...['--out', backup, '--passphrase-file', passphraseFile],
  ])
  await mkdir(directory, { recursive: true })
  await print('objects.json', {
    keyIds: [first, await cluster.keyring.active()],
    passphrase,
    backup: (await readFile(backup)).toString('base64'),
    encryptionConfig: (await readFile(config, 'utf8')).replaceAll(socket, '/run/kms.sock'),
    objects,
  })

  // A store of its own: these objects and little else, with a past.
  await etcdctl(ground, cluster.etcd, ['del', '', '--from-key'])
  const begin = await revision()
  await etcdctl(ground, cluster.etcd, ['compact', '--physical', `${begin}`])
  await client.put('/registry/secrets/default/gone', plain.get('small') ?? Buffer.alloc(0))
  for (const { key: at, value } of stored) await client.put(at, plain.get('small') ?? value)
  for (const { key: at, value } of stored) await client.put(at, value)
  await client.put('/registry/configmaps/default/plain', Buffer.from('{"kind":"ConfigMap"}'))
  await client.put('/registry/ranges/serviceips', Buffer.from('k8s\0'))
  await client.put('/registry/example.com/widgets/default/odd', Buffer.from('k8s:enc:odd:v1:x:'))
  await client.put('/elsewhere', Buffer.from('another program'))
  await etcdctl(ground, cluster.etcd, ['del', '/registry/secrets/default/gone'])
  const compacted = (await revision()) - 20
  await etcdctl(ground, cluster.etcd, ['compact', '--physical', `${compacted}`])
  await etcdctl(ground, cluster.etcd, ['defrag'])
  const snapshot = await readFile(await saveSnapshot(ground, cluster.etcd, 'snapshot.db'))
  await writeFile(join(directory, 'snapshot.db.gz'), gzipSync(snapshot, { level: 9 }))
  const end = await revision()
  const records = new Map<string, unknown>()
  const current = await served(end)
  for (let at = compacted; at <= end; at += 1) {
    for (const [id, record] of await served(at)) {
      records.set(id, { ...record, state: current.has(id) ? 'current' : 'superseded' })
    }
  }
  await print('snapshot.json', {
    revision: end,
    compactedRevision: compacted,
    records: [...records.values()],
  })
  console.log(`${objects.length} objects, ${records.size} records, ${snapshot.length} bytes`)

  async function rawOf(name: string): Promise<Buffer> {
    const found = await client.get(key(name))
    if (found === undefined) throw new Error(`etcd has no ${name}`)
    return found.value
  }

  async function revision(): Promise<number> {
    const text = await etcdctl(ground, cluster.etcd, ['get', 'x', '--write-out=json'])
    return (JSON.parse(text) as { header: { revision: number } }).header.revision
  }

  async function served(at: number): Promise<ReadonlyMap<string, object>> {
    const text = await etcdctl(ground, cluster.etcd, [
      ...['get', '', '--from-key', `--rev=${at}`, '--write-out=json'],
    ])
    const { kvs = [] } = JSON.parse(text) as {
      kvs?: { key: string; value?: string; mod_revision: number }[]
    }
    return new Map(
      kvs.map((kv) => {
        const name = Buffer.from(kv.key, 'base64').toString()
        const sha256 = createHash('sha256')
          .update(Buffer.from(kv.value ?? '', 'base64'))
          .digest('hex')
        return [`${kv.mod_revision} ${name}`, { key: name, modRevision: kv.mod_revision, sha256 }]
      }),
    )
  }
})

async function print(name: string, value: unknown): Promise<void> {
  await writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`)
}
