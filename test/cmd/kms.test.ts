import test, { type ExecutionContext } from 'ava'
import { randomBytes } from 'node:crypto'
import { lstat, open, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { bareConnection, preface, rawSession } from '../support/grpc-echo.ts'
import { kmsClient } from '../support/kms-client.ts'
import { runKmsProgram, runLatchkey, startKms } from '../support/kms-process.ts'
import { greetingAt, listening, ourIdentity, socketDirectory } from '../support/listening.ts'
import { until } from '../support/until.ts'

const plaintext = randomBytes(32)

/** A keyring, its root, and the flags that name them and a socket. */
async function ground(t: ExecutionContext) {
  const directory = await socketDirectory(t)
  const [keyring, root, socket] = ['ring', 'root', 'kms.sock'].map((it) => join(directory, it)) as [
    string,
    string,
    string,
  ]
  const opens = ['--keyring', keyring, '--root', `file:${root}`]
  const init = await runLatchkey('keys', 'init', ...opens)
  t.is(init.code, 0, init.stderr)
  return {
    directory,
    keyring,
    root,
    socket,
    opens,
    flags: [...opens, '--listen', `unix://${socket}`],
  }
}

test.serial('help and version go to standard output', async (t) => {
  const help = await runKmsProgram('--help')
  t.like(help, { code: 0, stderr: '' })
  t.regex(help.stdout, /^Usage: latchkey-kms /)
  t.regex((await runKmsProgram('--version')).stdout, /^\d+\.\d+\.\d+\n$/)
})

for (const [what, args, code, error] of [
  ['a wrong flag', ['--bogus=hunter2'], 2, /^error: .*'--bogus'.*\nhint: .*--help\n$/],
  [
    'a wrong root',
    ['--keyring', 'x', '--root', 'hunter2', '--listen', 'unix:///s'],
    2,
    /^error: the root /,
  ],
  [
    'a missing file',
    ['--config', '/nowhere.yaml'],
    2,
    /^error: the configuration file \/nowhere.yaml: ENOENT/,
  ],
] as const) {
  test.serial(`${what}: an exit code, an error and a hint`, async (t) => {
    const ran = await runKmsProgram(...args)
    t.is(ran.code, code)
    t.regex(ran.stderr, error)
    t.regex(ran.stderr, /^hint: /m)
    t.false(ran.stderr.includes('hunter2'))
    t.is(ran.stdout, '')
  })
}

test.serial('it serves from two flags and a socket until SIGTERM, and exits 0', async (t) => {
  const { flags, socket } = await ground(t)
  const kms = await startKms(t, flags)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext, uid: 'u' })
  t.deepEqual((await client.call('Decrypt', { ...sealed, uid: 'u' }))['plaintext'], plaintext)
  t.is((await lstat(socket)).mode & 0o777, 0o600)
  t.is(await kms.end('SIGTERM'), 0)
  t.is(await greetingAt(socket), 'ENOENT')
  t.is(kms.lines().at(-1)?.['event'], 'kms.stopped')
})

test.serial('SIGINT ends it as well, and a second signal at once', async (t) => {
  const { flags, socket } = await ground(t)
  t.is(await (await startKms(t, flags)).end('SIGINT'), 0)
  const kms = await startKms(t, flags)
  const stubborn = connect({ path: socket, allowHalfOpen: true })
  stubborn.on('error', () => undefined)
  stubborn.write(Buffer.concat([preface, Buffer.from([0, 0, 5, 1, 0, 0, 0, 0, 1])]))
  t.teardown(() => stubborn.destroy())
  await new Promise((resolve) => setTimeout(resolve, 100))
  kms.child.kill('SIGTERM')
  await until(t, () => kms.lines().some(({ event }) => event === 'kms.stopping'), {
    what: 'stopping',
  })
  const code = await kms.end('SIGTERM')
  t.true(code === 1 || code === 0, String(code))
})

test.serial('after kill -9 it starts again over the dead socket', async (t) => {
  const { flags, socket } = await ground(t)
  const killed = await startKms(t, flags)
  t.is(await killed.end('SIGKILL'), 'SIGKILL')
  t.is(await greetingAt(socket), 'ECONNREFUSED')
  await startKms(t, flags)
  t.like(await kmsClient(t, socket).call('Status'), { healthz: 'ok' })
})

test.serial('a live peer on the path: exit code 1, an error and a hint', async (t) => {
  const { flags, socket } = await ground(t)
  await listening(t, socket)
  const ran = await runKmsProgram(...flags)
  t.is(ran.code, 1)
  t.regex(ran.stderr, /^error: another process listens on .* \(ERR_SOCKET_IN_USE\)\nhint: /m)
})

test.serial('settings may come from a file, and a group may connect', async (t) => {
  const { directory, keyring, root, socket } = await ground(t)
  const config = join(directory, 'kms.yaml')
  await writeFile(
    config,
    [
      `keyring: ${keyring}`,
      `root: file:${root}`,
      `listen: unix://${socket}`,
      `socket-group: ${ourIdentity.gid}`,
      'metrics: 127.0.0.1:0',
    ].join('\n'),
  )
  const kms = await startKms(t, ['--config', config])
  const stat = await lstat(socket)
  t.is(stat.mode & 0o777, 0o660)
  t.is(stat.gid, ourIdentity.gid)
  const address = kms.lines().find(({ event }) => event === 'kms.endpoint_listening')?.['address']
  t.regex(
    await (await fetch(`http://${String(address)}/metrics`)).text(),
    /^latchkey_kms_build_info/m,
  )
  t.is(await kms.end(), 0)
})

test.serial('a passphrase may come through a descriptor, and serves reloads too', async (t) => {
  const directory = await socketDirectory(t)
  const [keyring, socket, file] = ['ring', 's', 'pass'].map((it) => join(directory, it)) as [
    string,
    string,
    string,
  ]
  await writeFile(file, 'correct horse battery\n', { mode: 0o600 })
  const byFile = ['--keyring', keyring, '--root', `passphrase:${file}`]
  t.is((await runLatchkey('keys', 'init', ...byFile)).code, 0)
  const kms = await startKms(
    t,
    ['--keyring', keyring, '--root', 'passphrase:fd:3', '--listen', `unix://${socket}`],
    { stdio3: 'pipe' },
  )
  // Long before it serves, SIGHUP is no end of it.
  await until(t, () => catchesHangUp(kms.child.pid), { what: 'SIGHUP is listened for' })
  kms.child.kill('SIGHUP')
  ;(kms.child.stdio[3] as Writable).end('correct horse battery\n')
  await until(t, () => kms.lines().some(({ event }) => event === 'kms.listening'), {
    what: 'it listens',
  })
  const client = kmsClient(t, socket)
  t.like(await client.call('Status'), { healthz: 'ok' })
  t.is((await runLatchkey('keys', 'stage', ...byFile)).code, 0)
  t.is((await runLatchkey('keys', 'activate', ...byFile)).code, 0)
  await until(t, async () => String((await client.call('Status'))['keyId']).startsWith('lk1.2.'), {
    what: 'the new key is served',
  })
  t.false(kms.output().includes('horse'))
})

async function catchesHangUp(pid = 0): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const mask = /^SigCgt:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return (BigInt(`0x${mask}`) & 1n) === 1n
}

test.serial(
  'without keyring and root it starts, says so, and serves when they appear',
  async (t) => {
    const directory = await socketDirectory(t)
    const opens = [
      '--keyring',
      join(directory, 'ring'),
      '--root',
      `file:${join(directory, 'root')}`,
    ]
    const socket = join(directory, 'kms.sock')
    const kms = await startKms(t, [...opens, '--listen', `unix://${socket}`])
    const client = kmsClient(t, socket)
    t.like(await client.call('Status'), { code: 'UNAVAILABLE' })
    const refused = kms.lines().find(({ event }) => event === 'kms.keyring_refused')
    t.like(refused, { level: 'error', code: 'ERR_KEYRING_NOT_FOUND' })
    t.regex(String(refused?.['hint']), /latchkey keys init/)
    t.is((await runLatchkey('keys', 'init', ...opens)).code, 0)
    await until(t, async () => (await client.call('Status'))['healthz'] === 'ok', {
      what: 'it serves',
    })
  },
)

test.serial('memory stays bounded, whatever is thrown at the socket', async (t) => {
  const { flags, socket } = await ground(t)
  const kms = await startKms(t, flags)
  const client = kmsClient(t, socket)
  const sealed = await client.call('Encrypt', { plaintext, uid: 'u' })
  const good = async (): Promise<void> => {
    const opened = await client.call('Decrypt', { ...sealed, uid: 'u' })
    t.deepEqual(opened['plaintext'], plaintext)
  }
  // Requests that are almost complete: as much as a peer can make the plugin hold.
  const message = Buffer.alloc(5 + 60_000)
  message.writeUInt32BE(65_000, 1)
  const holders = Array.from({ length: 60 }, () => rawSession(t, socket))
  for (const { begin } of holders) {
    for (let n = 0; n < 20; n += 1) {
      begin(message, { ':path': '/v2.KeyManagementService/Decrypt' })
    }
  }
  let most = 0
  for (let n = 0; n < 20; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    most = Math.max(most, await kms.privateMegabytes())
    await good()
  }
  for (const { session } of holders) session.destroy()
  // Megabytes that are refused, and connections that come and go.
  const megabyte = { ciphertext: Buffer.alloc(1 << 20), keyId: 'x' }
  for (let n = 0; n < 50; n += 1) {
    t.like(await client.call('Decrypt', megabyte), { code: 'RESOURCE_EXHAUSTED' })
    for (let m = 0; m < 20; m += 1) bareConnection(t, socket).socket.end(preface)
    most = Math.max(most, await kms.privateMegabytes())
  }
  await good()
  t.log(`at most ${most.toFixed(0)} MB private`)
  t.true(most < 250, `${most.toFixed(0)} MB`)
})

test.serial(
  'a log that cannot be written, as on a full disk, stops neither service nor end',
  async (t) => {
    const { flags, socket } = await ground(t)
    const full = await open('/dev/full', 'w')
    const kms = await startKms(t, flags, { stderr: full.fd })
    await full.close()
    await until(t, () => lstat(socket).then(Boolean, () => false), { what: 'it listens' })
    t.like(await kmsClient(t, socket).call('Status'), { healthz: 'ok' })
    t.is(await kms.end('SIGTERM'), 0)
  },
)
