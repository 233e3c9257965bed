import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import type { EtcdClient } from '../../../src/clients/etcd/client.ts'
import { parseEtcdFlags, type EtcdAccess } from '../../../src/clients/etcd/flags.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { etcdLayout } from '../../../src/keyring/stores/etcd-layout.ts'
import { etcdMembers } from '../../../src/keyring/stores/etcd-members.ts'
import { etcdMembership } from '../../../src/keyring/stores/etcd-membership.ts'
import { etcdStore } from '../../../src/keyring/stores/etcd.ts'
import { copyStore } from '../../../src/keyring/stores/keep-copy.ts'
import { keyringStoreContract } from '../../contract/keyring-store.ts'
import { fencedBlocks } from '../../support/markdown.ts'
import { createAuthority, writeIdentity, type Authority } from '../support/authority.ts'
import { binary } from '../support/binaries.ts'
import { startChild } from '../support/child.ts'
import { runLatchkey } from '../support/cli.ts'
import { etcdAccess } from '../support/etcd-access.ts'
import { startEtcd, type Etcd } from '../support/etcd.ts'
import { etcdctl } from '../support/etcdctl.ts'
import { useGround } from '../support/ground.ts'
import { runOk } from '../support/run-program.ts'
import { until } from '../support/until.ts'

// An etcd with users. Who is asking is the common name of the client certificate, by which etcd knows
// whoever speaks gRPC to it, as we do; its gateway for JSON it does not.

const ground = useGround(test)
const deps = { clock: systemClock, random: createRandomPool() }
let etcd: Etcd
let authority: Authority
let places = 0
let certificates = 0

/** A certificate of the user, in files of its own. */
async function filesOf(commonName: string): Promise<Etcd['clientFiles']> {
  certificates += 1
  const name = `user-${certificates}`
  const identity = await authority.issue({ commonName, use: ['client'] })
  const files = await writeIdentity(ground.dir, name, identity)
  return { ...files, ca: etcd.clientFiles.ca }
}

async function opened(access: EtcdAccess): Promise<EtcdClient> {
  const client = await openEtcd(access, deps)
  ground.defer('client', () => {
    client.close()
  })
  return client
}

const as = async (commonName: string): Promise<EtcdClient> =>
  await opened(etcdAccess(etcd, { files: await filesOf(commonName) }))

const administer = (...args: readonly string[]): Promise<string> => etcdctl(ground, etcd, args)

/** What the guide to a keyring in etcd tells to do where etcd has users. */
async function commandsOfTheGuide(): Promise<readonly string[]> {
  const guide = join(import.meta.dirname, '../../../deploy/guides/keyring-in-etcd.md')
  const blocks = [...fencedBlocks(await readFile(guide, 'utf8'))]
  const lines = blocks.flatMap(({ text }) => text.split('\n'))
  return lines.filter((line) => line.startsWith('etcdctl '))
}

test.before('an etcd in which latchkey has its prefix alone, and scanner reads all', async () => {
  authority = await createAuthority('etcd')
  etcd = await startEtcd(ground, { members: 3, authority })
  // The name in the certificate of the tests' own etcdctl: it stays in charge.
  for (const user of ['root', 'client']) {
    await administer('user', 'add', user, '--no-password')
    await administer('user', 'grant-role', user, 'root')
  }
  for (const line of await commandsOfTheGuide()) await administer(...line.split(' ').slice(1))
  await administer('user', 'add', 'scanner', '--no-password')
  await administer('role', 'add', 'scanner')
  await administer('role', 'grant-permission', 'scanner', '--from-key=true', 'read', '')
  await administer('user', 'grant-role', 'scanner', 'scanner')
  await administer('put', '/registry/secrets/shop/db', '{}')
  await administer('auth', 'enable')
})

keyringStoreContract(test, 'etcd with users', async () => {
  places += 1
  const [prefix, place] = [`/latchkey/${places}`, join(ground.dir, `copy-${places}`)]
  const client = await as('latchkey')
  const uid = process.getuid?.() ?? 0
  const localCopy = copyStore(place, { disk: systemDisk, random: deps.random, uid })
  return () =>
    etcdStore({ etcd: client, prefix, clock: systemClock, localCopy, membership: undefined })
})

test('a node joins, lives and acknowledges with the rights to the prefix alone', async (t) => {
  const client = await as('latchkey')
  const keys = etcdLayout('/latchkey/nodes')
  const nodeId = 'AAAAAAAAAAAAAAAAAAAAAA'
  const node = etcdMembership({ etcd: client, keys, name: 'cp-1', nodeId, ...deps })
  const members = etcdMembers({ etcd: client, keys })
  const digest = `sha256:${'0'.repeat(64)}`
  node.acknowledge({ generation: 3, digest })
  const stop = new AbortController()
  const problems: unknown[] = []
  const running = node.run(stop.signal, {
    joined: () => undefined,
    acknowledged: () => undefined,
    problem: (error) => problems.push(error),
  })
  await until(
    'the node',
    async () => {
      const [member] = (await members.list()).members
      return member?.alive === true && member.acknowledged?.digest === digest
    },
    { timeoutMs: 20_000 },
  )
  stop.abort()
  await running
  t.false((await members.list()).members[0]?.alive, 'its sign of life is taken back')
  await members.remove('cp-1')
  t.deepEqual(problems, [])
})

/** Why a watch is not to be had. */
async function whyLost(client: EtcdClient): Promise<unknown> {
  const stop = new AbortController()
  let why: unknown
  await client.watch('/registry/a', {
    signal: stop.signal,
    onEvents: () => undefined,
    onLost: (error) => {
      why = error
      stop.abort()
    },
  })
  return why
}

test('outside the prefix it is told what to grant, also by a watch', async (t) => {
  const client = await as('latchkey')
  const forbidden = { code: 'ERR_ETCD_FORBIDDEN' }
  await t.throwsAsync(client.put('/registry/a', Buffer.of(1)), forbidden)
  await t.throwsAsync(client.range('/registry/a'), forbidden)
  await t.throwsAsync(client.range('/latchkey/', { rangeEnd: '/z' }), forbidden)
  await t.throwsAsync((await as('stranger')).range('/latchkey/a'), forbidden)
  t.like(await whyLost(client), forbidden)
})

test('a scan takes the right to read everything, and says so', async (t) => {
  const scan = async (user: string) => {
    const { ca, cert, key } = await filesOf(user)
    const [endpoint = ''] = etcd.endpoints
    return await runLatchkey(ground, [
      ...['etcd', 'scan', '--etcd', endpoint, '-o', 'json'],
      ...['--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key],
    ])
  }
  const whole = await scan('scanner')
  t.is(whole.code, 0, whole.stderr)
  t.regex(whole.stdout, /"resource": ?"secrets"/)
  const part = await scan('latchkey')
  t.not(part.code, 0)
  t.is(part.stdout, '')
  t.regex(part.stderr, /does not permit.*\n.*role grant-permission ROLE .*--from-key=true read ""/s)
})

test('while users change, no write and no read fails', async (t) => {
  const client = await as('latchkey')
  const stop = new AbortController()
  let writes = 0
  const write = async (key: string): Promise<void> => {
    while (!stop.signal.aborted) {
      await client.put(key, Buffer.from(String(writes)))
      await client.range(key)
      writes += 1
    }
  }
  const writing = Promise.all(['/latchkey/x', '/latchkey/y', '/latchkey/z'].map(write))
  for (let n = 0; n < 15; n += 1) await administer('role', 'add', `of-no-use-${n}`)
  stop.abort()
  await writing
  t.true(writes > 15)
})

test('where users have names and passwords, it is told what to give', async (t) => {
  const url = `http://${ground.host(20)}`
  startChild(ground, {
    name: 'passwords',
    command: await binary('etcd'),
    args: [
      ...[`--data-dir=${join(ground.dir, 'passwords')}`, '--log-level=warn'],
      ...[`--listen-client-urls=${url}:2379`, `--advertise-client-urls=${url}:2379`],
      ...[`--listen-peer-urls=${url}:2380`, `--initial-advertise-peer-urls=${url}:2380`],
      `--initial-cluster=default=${url}:2380`,
    ],
  })
  const [access] = parseEtcdFlags({ etcd: [`${url}:2379`] }, '/')
  if (access === undefined) return t.fail()
  const client = await opened(access)
  await until('etcd to answer', async () => (await client.range('/a')).count === 0, {
    timeoutMs: 30_000,
  })
  for (const args of [
    ['user', 'add', 'root:secret'],
    ['auth', 'enable'],
  ]) {
    await runOk(ground, {
      command: await binary('etcdctl'),
      args: [`--endpoints=${url}:2379`, ...args],
    })
  }
  const unknown = { code: 'ERR_ETCD_UNAUTHENTICATED' }
  for (const call of [client.range('/a'), client.put('/a', Buffer.of(1))]) {
    const error = await t.throwsAsync(call, unknown)
    t.regex((error as { hint?: string } | undefined)?.hint ?? '', /--etcd-cert.*common name/)
  }
  t.like(await whyLost(client), unknown)
})
