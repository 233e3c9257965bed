import test from 'ava'
import type { ExecutionContext } from 'ava'
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeIdentity } from '../e2e/support/authority.ts'
import { temporaryDirectory } from '../support/publishing.ts'
import { brokerIdentity, testAuthority, until } from '../support/sidecar.ts'

// The programs as they are run, against each other: nothing here is of a test's own making.

const programOf = (name: string): string =>
  fileURLToPath(new URL(`../../cmd/${name}.ts`, import.meta.url))

interface World {
  readonly dir: string
  readonly lines: (name: string) => string
  start(name: string, args: readonly string[]): { readonly exited: Promise<number | null> }
  setSecret(target: string, key: string, value: string): void
  allow(secrets: readonly string[]): void
}

const createWorld = async (t: ExecutionContext): Promise<World> => {
  const dir = temporaryDirectory(t)
  const path = (name: string): string => join(dir, name)
  for (const name of ['store', 'root-key']) fs.mkdirSync(path(name), { mode: 0o700 })
  fs.writeFileSync(path('root-key/key'), randomBytes(32), { mode: 0o400 })
  fs.writeFileSync(path('ca.crt'), testAuthority.cert)
  await writeIdentity(dir, 'broker', brokerIdentity)
  fs.writeFileSync(path('token'), 'TOKEN-MARKER')
  const output = new Map<string, Buffer[]>()
  return {
    dir,
    lines: (name) => Buffer.concat(output.get(name) ?? []).toString(),
    start: (name, args) => {
      const child = spawn(process.execPath, [programOf(name), ...args], { cwd: dir })
      t.teardown(() => child.kill('SIGKILL'))
      const chunks: Buffer[] = []
      output.set(name, chunks)
      child.stderr.on('data', (data: Buffer) => chunks.push(data))
      return { exited: new Promise((resolve) => child.once('close', resolve)) }
    },
    setSecret: (target, key, value) => {
      const store = ['--store', path('store'), '--store-root', `file:${path('root-key/key')}`]
      const args = [programOf('latchkey'), 'secret', 'set', target, key, ...store]
      const { status, stderr } = spawnSync(process.execPath, args, { input: value })
      if (status !== 0) throw new Error(stderr.toString())
    },
    allow: (secrets) => {
      const pod = {
        namespace: 'shop',
        name: 'web-0',
        uid: '5f0c0000-0000-4000-8000-000000000001',
        account: 'web',
        tokenSha256: createHash('sha256').update('TOKEN-MARKER').digest('hex'),
      }
      const accounts = [{ namespace: 'shop', name: 'web', mount: secrets }]
      const text = JSON.stringify({ accounts, pods: [pod], viewers: [] })
      fs.writeFileSync(path('static.yaml.new'), text, { mode: 0o600 })
      fs.renameSync(path('static.yaml.new'), path('static.yaml'))
    },
  }
}

test('the real broker and the real sidecar: delivery, update, revocation, grant', async (t) => {
  t.timeout(120_000)
  const world = await createWorld(t)
  const file = join(world.dir, 'root/etc/app/db/password')
  const read = (): string | undefined => {
    try {
      return fs.readFileSync(file, 'utf8')
    } catch {
      return undefined
    }
  }
  fs.writeFileSync(
    join(world.dir, 'plan.yaml'),
    '- { secret: db, key: password, path: /etc/app/db/password }\n',
  )
  world.setSecret('shop/db', 'password', 'SECRET-MARKER-1')
  world.allow(['db'])
  world.start('broker', [
    ...['--listen', '127.0.0.1:0', '--tls-cert', 'broker.crt', '--tls-key', 'broker.key'],
    ...['--source', `file:${join(world.dir, 'store')}`, '--tls-ca', 'ca.crt'],
    ...['--store-root', `file:${join(world.dir, 'root-key/key')}`],
    ...['--auth', `static:${join(world.dir, 'static.yaml')}`, '--audit', 'audit.jsonl'],
  ])
  const listening = /"event":"broker.listening","address":"([^"]+)"/
  await until(() => listening.test(world.lines('broker')), 'the broker listens')
  const [, address = ''] = listening.exec(world.lines('broker')) ?? []
  const sidecar = [
    ...['--broker', address, '--ca', 'ca.crt', '--token', 'token'],
    ...['--secrets', 'plan.yaml', '--root', 'root'],
  ]
  world.start('sidecar', sidecar)
  await until(() => read() === 'SECRET-MARKER-1', 'delivery')
  t.is(fs.statSync(file).mode & 0o777, 0o400)
  world.setSecret('shop/db', 'password', 'SECRET-MARKER-2')
  await until(() => read() === 'SECRET-MARKER-2', 'the update')
  world.allow([])
  await until(() => read() === undefined, 'revocation')
  const denied = world.start('sidecar', [...sidecar, '--root', 'other', '--once'])
  t.is(await denied.exited, 4)
  world.allow(['db'])
  await until(() => read() === 'SECRET-MARKER-2', 'the grant')
  const audit = fs.readFileSync(join(world.dir, 'audit.jsonl'), 'utf8')
  for (const text of [audit, world.lines('broker'), world.lines('sidecar')]) {
    t.notRegex(text, /MARKER/)
  }
})
