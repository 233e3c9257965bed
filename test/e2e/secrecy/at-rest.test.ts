import test from 'ava'
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createRandomPool } from '../../../src/base/random.ts'
import { SecretBytes } from '../../../src/base/secret.ts'
import { Keyring } from '../../../src/keyring/keyring.ts'
import { fileRoot } from '../../../src/keyring/roots/file.ts'
import { startChild } from '../support/child.ts'
import { useGround } from '../support/ground.ts'
import { connectKms } from '../support/kms-client.ts'
import { answering, readMetrics } from '../support/kms-plugin.ts'
import { command } from '../support/our-program.ts'
import { until } from '../support/until.ts'
import { markOf, marksIn, type Mark } from './marks.ts'
import { watchProcess } from './watch-process.ts'

const ground = useGround(test)
const at = (name: string): string => join(ground.dir, name)

const root = Buffer.from('MARKED-ROOT-KEY-OF-32-BYTES-ABCD')
const otherRoot = Buffer.from('MARKED-OTHER-ROOT-KEY-32-BYTES-X')
const passphrase = Buffer.from('MARKED-PASSPHRASE-correct-horse-battery')
const seed = Buffer.from('MARKED-PLAINTEXT-SEED-32-BYTES-Y')
const value = Buffer.from('MARKED-SECRET-VALUE-of-an-application')
const marks: Mark[] = [
  markOf('root', root),
  markOf('other root', otherRoot),
  markOf('passphrase', passphrase),
  markOf('seed', seed),
  markOf('value', value),
]

/** Runs `latchkey` and returns everything that could be seen of it from outside. */
async function outwardly(
  args: readonly string[],
  options: { readonly stdin?: Buffer } = {},
): Promise<{ readonly code: number | null; readonly text: string }> {
  const stdin = options.stdin ?? Buffer.alloc(0)
  writeFileSync(at('stdin'), stdin, { mode: 0o600 })
  const script = 'input=$1; shift; exec "$@" <"$input"'
  const child = startChild(ground, {
    name: `run-${Math.random().toString(36).slice(2)}`,
    command: '/bin/sh',
    args: ['-c', script, 'sh', at('stdin'), process.execPath, command('latchkey'), ...args],
  })
  const watched = watchProcess(child.pid)
  const { code } = await child.exited
  watched.stop()
  return { code, text: [child.stdout(), child.stderr(), watched.seen()].join('\n') }
}

/** Every KEK that the current keyring holds, as marks. */
async function kekMarks(directory: string): Promise<readonly Mark[]> {
  const [newest = ''] = readdirSync(directory)
    .filter((name) => name.startsWith('keyring.'))
    .sort()
    .reverse()
  const roots = [fileRoot(SecretBytes.copyOf(root), { random: createRandomPool() })]
  using keyring = await Keyring.open(readFileSync(join(directory, newest)), { roots })
  return keyring.keys
    .filter(({ state }) => state !== 'destroyed')
    .map(({ id }) => markOf(`KEK ${id}`, Buffer.from(keyring.live(id).material.expose())))
}

const where = ['--keyring', at('keyring'), '--root', `file:${at('root')}`]

test.before(() => {
  writeFileSync(at('root'), root, { mode: 0o400 })
  writeFileSync(at('other-root'), otherRoot, { mode: 0o400 })
  writeFileSync(at('passphrase'), passphrase, { mode: 0o600 })
  writeFileSync(at('readable'), passphrase, { mode: 0o644 })
  writeFileSync(at('open-root'), root, { mode: 0o400 })
  chmodSync(at('open-root'), 0o444)
  writeFileSync(at('short-root'), root.subarray(0, 31), { mode: 0o400 })
})

test.serial('no command, done or failed, shows a key, a passphrase or a value', async (t) => {
  const id = async (): Promise<string> => {
    const { text } = await outwardly(['keys', 'list', ...where, '-o', 'json'])
    return /"id":"(lk1\.[^"]+)","state":"superseded"/.exec(text)?.[1] ?? 'none'
  }
  const good = [
    ['keys', 'init', ...where],
    ['keys', 'stage', ...where],
    ['keys', 'activate', ...where],
    ['keys', 'list', ...where],
    ['keys', 'rewrap', ...where, '--add-root', `passphrase:${at('passphrase')}`],
    ['keys', 'backup', ...where, '--out', at('backup'), '--passphrase-file', at('passphrase')],
    [
      ...['keys', 'restore', '--from', at('backup'), '--passphrase-file', at('readable')],
      ...['--keyring', at('restored'), '--root', `file:${at('other-root')}`],
    ],
    [
      ...['keys', 'adopt', ...where, '--from', at('restored'), '--yes'],
      ...['--from-root', `file:${at('other-root')}`],
    ],
  ]
  for (const args of good) {
    const { code, text } = await outwardly(args)
    t.is(code, 0, `${args.join(' ')}\n${text}`)
    t.deepEqual(marksIn(text, [...marks, ...(await kekMarks(at('keyring')))]), [], args.join(' '))
  }
  const old = await id()
  const bad = [
    ['keys', 'init', ...where],
    ['keys', 'activate', ...where],
    ['keys', 'retire', old, ...where],
    ['keys', 'destroy', old, ...where],
    ['keys', 'list', '--keyring', at('keyring'), '--root', `file:${at('other-root')}`],
    ['keys', 'list', '--keyring', at('keyring'), '--root', `file:${at('open-root')}`],
    ['keys', 'list', '--keyring', at('keyring'), '--root', `file:${at('short-root')}`],
    [
      'keys',
      'list',
      '--keyring',
      at('keyring'),
      '--root',
      passphrase.toString('latin1').slice(0, 3),
    ],
    ['keys', 'list', '--keyring', at('nowhere'), '--root', `file:${at('root')}`],
    ['keys', 'backup', ...where, '--out', at('backup'), '--passphrase-file', at('passphrase')],
    [
      ...['keys', 'restore', '--from', at('root'), '--passphrase-file', at('passphrase')],
      ...['--keyring', at('restored2'), '--root', `file:${at('root')}`],
    ],
    ['keys', 'list', ...where, '--config', at('passphrase')],
    ['keys', 'list', ...where, '--config', at('root')],
    ['doctor', ...where, '--encryption-config', at('passphrase')],
    ['doctor', ...where, '--api-server-manifest', at('root'), '--listen', `unix://${at('root')}`],
  ]
  for (const args of bad) {
    const { code, text } = await outwardly(args)
    t.not(code, 0, args.join(' '))
    t.deepEqual(marksIn(text, [...marks, ...(await kekMarks(at('keyring')))]), [], args.join(' '))
  }
})

test.serial('secrets of the embedded store come out of no command', async (t) => {
  const store = ['--store', at('store'), '--store-root', `file:${at('store-root/root')}`]
  await mkdir(at('store-root'), { mode: 0o700 })
  writeFileSync(at('store-root/root'), otherRoot, { mode: 0o400 })
  writeFileSync(at('value'), value, { mode: 0o600 })
  const runs = [
    { args: ['secret', 'set', 'shop/db', 'password', ...store], stdin: value },
    { args: ['secret', 'set', 'shop/db', 'pin', ...store, '--from-file', at('value')] },
    { args: ['secret', 'set', 'shop', 'password', ...store], stdin: value },
    { args: ['secret', 'set', 'shop/db', 'bad key', ...store], stdin: value },
    { args: ['secret', 'list', ...store] },
    { args: ['secret', 'list', ...store, '-o', 'json'] },
    { args: ['secret', 'list', '--store', at('store'), '--store-root', `file:${at('root')}`] },
    { args: ['secret', 'remove', 'shop/db', 'pin', ...store, '--yes'] },
  ]
  for (const { args, ...options } of runs) {
    const { text } = await outwardly(args, options)
    t.deepEqual(marksIn(text, marks), [], args.join(' '))
  }
})

test.serial(
  'the plugin shows nothing: logs, metrics, errors, /proc, and its core file',
  async (t) => {
    const socket = at('kms/kms.sock')
    await mkdir(at('kms'), { mode: 0o700 })
    const metrics = `${ground.host(9)}:9100`
    const args = [
      ...[command('kms'), ...where, '--listen', `unix://${socket}`],
      ...['--metrics', metrics, '--log-level', 'debug'],
    ]
    const child = startChild(ground, {
      name: 'kms',
      command: '/bin/sh',
      args: ['-c', 'ulimit -c unlimited; exec "$@"', 'sh', process.execPath, ...args],
    })
    const watched = watchProcess(child.pid)
    await answering(child, socket)
    const client = await connectKms(socket)
    const texts: string[] = []
    const attempt = async (call: () => Promise<unknown>): Promise<void> => {
      texts.push(
        await call().then(
          () => '',
          (error: unknown) => String(error),
        ),
      )
    }
    const sealed = await client.encrypt(seed)
    t.deepEqual(await client.decrypt(sealed), seed)
    const flipped = Buffer.from(sealed.ciphertext)
    flipped[40] = (flipped[40] ?? 0) ^ 1
    await attempt(() => client.decrypt({ ...sealed, ciphertext: flipped }))
    await attempt(() => client.decrypt({ ...sealed, ciphertext: seed }))
    await attempt(() => client.decrypt({ ...sealed, keyId: seed.toString('latin1') }))
    await attempt(() => client.decrypt({ ...sealed, keyId: 'lk1.9.AAAAAAAAAAAAAAAAAAAAAA' }))
    await attempt(() => client.encrypt(Buffer.concat(Array.from({ length: 100 }, () => seed))))
    await attempt(() => client.encrypt(Buffer.alloc(0)))
    client.close()
    t.is(texts.filter((text) => text !== '').length, 6)
    texts.push(await readMetrics(metrics))
    const { text: staged } = await outwardly(['keys', 'stage', ...where])
    texts.push(staged)
    await until(
      'the plugin to load the staged key',
      async () => /_keyring_generation [1-9]/.test(await readMetrics(metrics)),
      { timeoutMs: 10_000, everyMs: 100 },
    )
    const found = [...marks, ...(await kekMarks(at('keyring')))]
    t.is(readFileSync(`/proc/${child.pid}/coredump_filter`, 'latin1').trim(), '00000000')
    child.signal('SIGSEGV')
    await child.exited
    watched.stop()
    texts.push(child.stdout(), child.stderr(), watched.seen())
    for (const name of readdirSync(ground.dir).filter((file) => file.startsWith('core'))) {
      texts.push(readFileSync(at(name), 'latin1'))
    }
    t.deepEqual(marksIn(texts.join('\n'), found), [])
  },
)
