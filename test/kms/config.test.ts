import test from 'ava'
import { kmsHelp, readKmsCommand, type KmsConfig } from '../../src/kms/config.ts'

const read = (args: readonly string[], file?: string) =>
  readKmsCommand(args, {
    readText: async (path) =>
      path === 'kms.yaml' && file !== undefined ? file : Promise.reject(new Error(`no ${path}`)),
  })
const config = async (args: readonly string[], file?: string): Promise<KmsConfig> => {
  const command = await read(file === undefined ? args : [...args, '--config', 'kms.yaml'], file)
  if (command.kind !== 'serve') throw new Error(command.kind)
  return command.config
}
const notShared = {
  etcd: {
    etcdCa: undefined,
    etcdCert: undefined,
    etcdKey: undefined,
    localCopy: '/var/lib/latchkey/copy',
  },
  nodeName: undefined,
}
const least = ['--keyring', 'ring', '--root', 'file:root']

test('flags make a complete configuration', async (t) => {
  t.deepEqual(await config([...least, '--listen', 'unix:///run/x/kms.sock']), {
    keyring: 'ring',
    ...notShared,
    roots: ['file:root'],
    listen: '/run/x/kms.sock',
    metrics: undefined,
    socketGroup: undefined,
    strictHealth: false,
    logLevel: 'info',
  })
  t.deepEqual(
    await config([
      ...['--keyring=ring', '--root', 'file:a', '--root', 'passphrase:fd:3'],
      ...['--listen', 'unix:///s', '--metrics', '[::1]:9464', '--socket-group', 'kube'],
      ...['--strict-health', '--log-level', 'debug'],
    ]),
    {
      keyring: 'ring',
      ...notShared,
      roots: ['file:a', 'passphrase:fd:3'],
      listen: '/s',
      metrics: { host: '::1', port: 9464 },
      socketGroup: 'kube',
      strictHealth: true,
      logLevel: 'debug',
    },
  )
})

test('a file has the same keys, and flags win over it', async (t) => {
  const file = [
    'keyring: /var/lib/ring',
    'root: [file:a, file:b]',
    'listen: unix:///run/s',
    'metrics: 127.0.0.1:1',
    'socket-group: 1234',
    'strict-health: true',
    'log-level: warn',
  ].join('\n')
  t.deepEqual(await config([], file), {
    keyring: '/var/lib/ring',
    ...notShared,
    roots: ['file:a', 'file:b'],
    listen: '/run/s',
    metrics: { host: '127.0.0.1', port: 1 },
    socketGroup: '1234',
    strictHealth: true,
    logLevel: 'warn',
  })
  t.like(await config(['--root', 'file:c', '--log-level', 'error'], file), {
    keyring: '/var/lib/ring',
    roots: ['file:c'],
    logLevel: 'error',
  })
  t.like(await config(least, ''), { keyring: 'ring' })
})

const wrongFlags: Record<string, readonly [readonly string[], RegExp]> = {
  'an unknown flag': [[...least, '--bogus'], /--bogus/],
  'a stray argument': [[...least, 'hunter2'], /^(?!.*hunter2)/],
  'a flag without its value': [['--keyring'], /--keyring/],
  'a value for a switch': [
    [...least, '--strict-health=hunter2'],
    /^(?!.*hunter2).*--strict-health/,
  ],
  'no keyring': [['--root', 'file:x'], /--keyring/],
  'an empty keyring': [['--keyring', '', '--root', 'file:x'], /--keyring/],
  'no root': [['--keyring', 'x'], /--root/],
}
for (const [what, [args, message]] of Object.entries(wrongFlags)) {
  test(`${what} is a usage error that names it`, async (t) => {
    const error = await t.throwsAsync(read(args), { code: 'ERR_USAGE' })
    t.regex(error.message, message)
  })
}

test('flags for a keyring in etcd are refused for another, and let be in a file', async (t) => {
  const flags = ['etcd-ca', 'etcd-cert', 'etcd-key', 'local-copy', 'node-name']
  for (const flag of flags) {
    const error = await t.throwsAsync(read([...least, `--${flag}`, 'x']), { code: 'ERR_USAGE' })
    t.true(error.message.startsWith(`--${flag} `))
    await t.notThrowsAsync(read(['--keyring=etcd:https://h:1/x', '--root=file:r', `--${flag}=x`]))
    t.like(await config(least, `${flag}: x`), { keyring: 'ring' })
  }
})

const wrongValues: Record<string, readonly [readonly string[], string, RegExp]> = {
  'a socket that is none': [['--listen', 'tcp://x'], 'ERR_SOCKET_PATH', /^listen/],
  'a metrics address that is none': [['--metrics', '9464'], 'ERR_CONFIG_INVALID', /^metrics/],
  'a log level that is none': [['--log-level', 'loud'], 'ERR_CONFIG_INVALID', /^log-level/],
}
for (const [what, [args, code, message]] of Object.entries(wrongValues)) {
  test(`${what} is an error that names it`, async (t) => {
    const error = await t.throwsAsync(read([...least, ...args]), { code })
    t.regex(error.message, message)
  })
}

const wrongFiles: Record<string, readonly [string, RegExp]> = {
  'an unknown key': ['keyring: x\nkeyrnig: y', /keyrnig/],
  'a key of the prototype': ['constructor: x', /constructor/],
  'a nested configuration': ['config: other.yaml', /config/],
  'a key twice': ['keyring: x\nkeyring: y', /not YAML.*line 2/],
  'a list': ['- keyring', /not a mapping/],
  'broken YAML': ['keyring: [', /not YAML/],
  'a number for a text': ['keyring: 5', /keyring/],
  'a text for a switch': ['strict-health: "yes"', /strict-health/],
  'a list with other things': ['root: [file:a, 5]', /root/],
  'a mapping for a text': ['listen: {a: b}', /listen/],
  'a null': ['listen:', /listen/],
}
for (const [what, [file, message]] of Object.entries(wrongFiles)) {
  test(`a file with ${what} is refused with the name of the key`, async (t) => {
    const error = await t.throwsAsync(config(least, file), { code: 'ERR_CONFIG_INVALID' })
    t.regex(error.message, message)
  })
}

test('a file that multiplies itself by aliases is refused', async (t) => {
  await t.throwsAsync(config(least, 'root: &a [x]\nlisten: *a\n'), {
    code: 'ERR_CONFIG_INVALID',
  })
})

test('help and version win over everything', async (t) => {
  t.deepEqual(await read(['--help']), { kind: 'help' })
  t.deepEqual(await read(['--version', '--keyring', 'x']), { kind: 'version' })
  await t.throwsAsync(read(['--help', '--bogus']), { code: 'ERR_USAGE' })
})

test('help names every flag', (t) => {
  for (const flag of [
    'keyring',
    'root',
    'listen',
    'socket-group',
    'metrics',
    'strict-health',
    'log-level',
    'config',
    'version',
    'help',
  ]) {
    t.true(kmsHelp.includes(`--${flag}`), flag)
  }
  t.true(kmsHelp.split('\n').every((line) => line.length <= 100))
})
