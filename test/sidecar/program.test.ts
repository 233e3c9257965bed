import test from 'ava'
import type { ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { createServer as createTlsServer } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { itemOf, readyItem } from '../support/fake-broker.ts'
import type { FakeBroker } from '../support/fake-broker.ts'
import { temporaryDirectory } from '../support/publishing.ts'
import { startBroker, testAuthority, until } from '../support/sidecar.ts'
import { createAuthority } from '../e2e/support/authority.ts'

const other = await createAuthority('someone else')
const impostor = await other.issue({ commonName: 'x', hosts: ['127.0.0.1'], use: ['server'] })
const program = fileURLToPath(new URL('../../cmd/sidecar.ts', import.meta.url))
const plan = '- { secret: db, key: password, path: /etc/app/db/password }\n'

interface Run {
  readonly root: string
  readonly exited: Promise<number | null>
  readonly stderr: () => string
  readonly stdout: () => string
  kill(signal: NodeJS.Signals): void
  readonly pid: number
}

const start = (
  t: ExecutionContext,
  options: {
    broker?: FakeBroker['address']
    args?: readonly string[]
    plan?: string
    env?: Readonly<Record<string, string>>
    bare?: boolean
  } = {},
): Run => {
  const dir = temporaryDirectory(t)
  fs.writeFileSync(join(dir, 'ca.crt'), testAuthority.cert)
  fs.writeFileSync(join(dir, 'token'), 'TOKEN-MARKER')
  fs.writeFileSync(join(dir, 'plan.yaml'), options.plan ?? plan)
  const { host, port } = options.broker ?? { host: '127.0.0.1', port: 1 }
  const usual = [
    ...['--broker', `${host}:${port}`, '--ca', 'ca.crt', '--token', 'token'],
    ...['--secrets', 'plan.yaml', '--root', 'root'],
  ]
  const args = [program, ...(options.bare === true ? [] : usual), ...(options.args ?? [])]
  const child = spawn(process.execPath, args, {
    cwd: dir,
    env: { PATH: process.env['PATH'], ...options.env },
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (data: Buffer) => out.push(data))
  child.stderr.on('data', (data: Buffer) => err.push(data))
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', resolve)
  })
  return {
    root: join(dir, 'root'),
    exited,
    stdout: () => Buffer.concat(out).toString(),
    stderr: () => Buffer.concat(err).toString(),
    kill: (signal) => child.kill(signal),
    pid: child.pid ?? 0,
  }
}

test('exit code 0: with --once, when every file is published', async (t) => {
  const broker = await startBroker(t)
  const run = start(t, { broker: broker.address, args: ['--once'] })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'SECRET-MARKER' })])
  t.is(await run.exited, 0, run.stderr())
  t.is(fs.readFileSync(join(run.root, 'etc/app/db/password'), 'utf8'), 'SECRET-MARKER')
  t.notRegex(run.stderr() + run.stdout(), /MARKER/)
})

test('exit code 4: with --once, when something is denied or missing, and which', async (t) => {
  const broker = await startBroker(t)
  const run = start(t, { broker: broker.address, args: ['--once'] })
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([itemOf('db', 'STATUS_NOT_FOUND')])
  t.is(await run.exited, 4)
  t.regex(run.stderr(), /^error: secret db for \/etc\/app\/db\/password: there is no such secret$/m)
})

test('exit code 4: with --once, when the broker does not serve the pod', async (t) => {
  const broker = await startBroker(t)
  const run = start(t, { broker: broker.address, args: ['--once'] })
  ;(await broker.nextStream()).goodbye('GOODBYE_REASON_TOKEN_REFUSED')
  t.is(await run.exited, 4)
  t.regex(run.stderr(), /^error: the broker does not serve this pod: token-refused$/m)
})

test('exit code 5: with --once, when the broker cannot be reached in time', async (t) => {
  const run = start(t, { args: ['--once', '--once-timeout', '3s'] })
  t.is(await run.exited, 5)
  t.regex(run.stderr(), /ERR_BROKER_UNREACHABLE/)
})

test('exit code 1: with --once, when it is stopped before anything is decided', async (t) => {
  const broker = await startBroker(t)
  const run = start(t, { broker: broker.address, args: ['--once'] })
  await broker.nextStream()
  run.kill('SIGTERM')
  t.is(await run.exited, 1)
  t.regex(run.stderr(), /^error: stopped before everything was decided$/m)
})

test('a second sidecar over the same state waits, and goes on when the first is killed', async (t) => {
  const broker = await startBroker(t)
  const first = start(t, { broker: broker.address })
  await broker.nextStream()
  const second = start(t, { broker: broker.address, args: ['--root', first.root] })
  await until(() => second.stderr().includes('"state.in_use"'), 'waiting')
  t.false(second.stderr().includes('"sidecar.started"'))
  first.kill('SIGKILL')
  const stream = await broker.nextStream()
  stream.accept()
  stream.sendSet([readyItem('db', { password: 'x' })])
  await until(() => fs.existsSync(join(first.root, 'etc/app/db/password')), 'the file')
  second.kill('SIGTERM')
  t.is(await second.exited, 0, second.stderr())
  t.false(fs.existsSync(join(first.root, 'run/latchkey/lock')))
})

test('exit code 2: used wrongly', async (t) => {
  const cases: readonly (readonly [Parameters<typeof start>[1], RegExp])[] = [
    [{ bare: true }, /^error: --broker is missing \(ERR_USAGE\)$/m],
    [{ args: ['--nonsense'] }, /^error: Unknown option '--nonsense'/m],
    [{ args: ['--ca', 'nowhere'] }, /^error: the file of certificate authorities nowhere: ENOENT/m],
    [{ args: ['--ca', 'token'] }, /^error: token holds no certificates/m],
    [{ plan: '- secret: db\n' }, /^error: line 1: entry 1, path: is missing; add path/m],
    [{ args: ['--plan-digest', `sha256:${'0'.repeat(64)}`] }, /not the one of --plan-digest/],
    [{ args: ['--ca-digest', `sha256:${'0'.repeat(64)}`] }, /not the file of --ca-digest/],
  ]
  for (const [options, message] of cases) {
    const run = start(t, options)
    t.is(await run.exited, 2, run.stderr())
    t.regex(run.stderr(), message)
  }
})

test('help and version', async (t) => {
  const help = start(t, { bare: true, args: ['--help'] })
  t.is(await help.exited, 0)
  t.regex(help.stdout(), /^Usage: latchkey-sidecar --broker HOST:PORT/)
  const version = start(t, { bare: true, args: ['--version'] })
  t.is(await version.exited, 0)
  t.regex(version.stdout(), /^\d+\.\d+\.\d+\n$/)
})

const portOf = (run: Run, pages: string): string | undefined => {
  const line = run
    .stderr()
    .split('\n')
    .find((each) => each.includes(`"pages":"${pages}"`))
  return line?.match(/"address":"([^"]+)"/)?.[1]
}

test('probes get yes or no and metrics get numbers, and SIGTERM is exit code 0', async (t) => {
  const broker = await startBroker(t)
  const args = ['--health', '127.0.0.1:0', '--metrics', '127.0.0.1:0']
  const run = start(t, { broker: broker.address, args })
  const stream = await broker.nextStream()
  stream.accept()
  const ask = async (pages: string, path: string): Promise<string> => {
    await until(() => portOf(run, pages) !== undefined, 'the pages')
    const response = await fetch(`http://${portOf(run, pages) ?? ''}${path}`)
    return `${response.status} ${await response.text()}`
  }
  t.is(await ask('health', '/startz'), '503 no\n')
  t.is(await ask('health', '/readyz'), '503 no\n')
  t.is(await ask('health', '/livez'), '200 ok\n')
  await stream.acknowledged(stream.sendSet([readyItem('db', { password: 'SECRET-MARKER' })]))
  t.is(await ask('health', '/startz'), '200 ok\n')
  t.is(await ask('health', '/readyz'), '200 ok\n')
  t.is(await ask('health', '/metrics'), '404 paths: /startz /readyz /livez\n')
  const metrics = await ask('metrics', '/metrics')
  t.regex(metrics, /^latchkey_sidecar_connected 1$/m)
  t.regex(metrics, /^latchkey_sidecar_entries\{state="ready"\} 1$/m)
  t.notRegex(metrics, /MARKER|db|password/)
  for (const file of ['cmdline', 'environ']) {
    t.notRegex(fs.readFileSync(`/proc/${run.pid}/${file}`, 'utf8'), /MARKER/)
  }
  run.kill('SIGTERM')
  t.is(await run.exited, 0)
  t.notRegex(run.stderr(), /MARKER/)
  t.is(fs.readFileSync(join(run.root, 'etc/app/db/password'), 'utf8'), 'SECRET-MARKER')
})

test('no environment variable makes it send its token to an impostor', async (t) => {
  const heard: Buffer[] = []
  let handshakes = 0
  const server = createTlsServer({ ...impostor, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data: Buffer) => heard.push(data))
  })
  server.on('connection', () => {
    handshakes += 1
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const extra = join(temporaryDirectory(t), 'extra.crt')
  fs.writeFileSync(extra, other.cert)
  const run = start(t, {
    broker: { host: '127.0.0.1', port },
    args: ['--once'],
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_EXTRA_CA_CERTS: extra },
  })
  await until(() => run.stderr().includes('ERR_BROKER_UNTRUSTED'), 'mistrust')
  run.kill('SIGTERM')
  t.is(await run.exited, 1)
  t.true(handshakes > 0)
  t.is(Buffer.concat(heard).byteLength, 0)
})

test('killed -9 while no broker answers, it is started and ready again at once', async (t) => {
  const broker = await startBroker(t)
  const args = ['--health', '127.0.0.1:0']
  const run = start(t, { broker: broker.address, args })
  const stream = await broker.nextStream()
  stream.accept()
  await stream.acknowledged(stream.sendSet([readyItem('db', { password: 'one' })]))
  run.kill('SIGKILL')
  await run.exited
  await broker.stop()
  const again = start(t, {
    broker: broker.address,
    args: [...args, '--root', run.root],
  })
  await until(() => portOf(again, 'health') !== undefined, 'the health pages')
  const response = await fetch(`http://${portOf(again, 'health') ?? ''}/readyz`)
  t.is(response.status, 200)
})

test('it loads nothing that it does not need', async (t) => {
  const { metafile } = await build({
    entryPoints: [program],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const inputs = Object.keys(metafile.inputs).map((path) => path.replaceAll('\\', '/'))
  const banned =
    /src\/(keyring|secrets|clients|broker|webhook|kms|admin)\/|\/(@grpc|prom-client|@kubernetes|libsodium|protobufjs|zod|commander|chokidar|pino|sonic-boom)/
  t.deepEqual(
    inputs.filter((path) => banned.test(path)),
    [],
  )
  t.true(inputs.some((path) => path.includes('src/sidecar/agent/agent.ts')))
  const atStart = Object.values(metafile.inputs)
    .flatMap(({ imports }) => imports)
    .filter(({ kind }) => kind !== 'dynamic-import')
    .map(({ path }) => path)
  t.true(atStart.includes('node:http2'))
  for (const costly of ['node:http', 'node:https']) t.false(atStart.includes(costly), costly)
})
