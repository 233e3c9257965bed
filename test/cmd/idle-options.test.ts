import test, { type ExecutionContext } from 'ava'
import { Command } from 'commander'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deliveryCommand } from '../../cmd/latchkey/delivery.ts'
import { doctorCommand } from '../../cmd/latchkey/doctor.ts'
import { etcdCommand } from '../../cmd/latchkey/etcd.ts'
import { explainCommand } from '../../cmd/latchkey/explain.ts'
import { refuseIdle } from '../../cmd/latchkey/idle-options.ts'
import { keysCommand } from '../../cmd/latchkey/keys.ts'
import { settle, withEtcd, withKeyring } from '../../cmd/latchkey/options.ts'
import { rbacCommand } from '../../cmd/latchkey/rbac.ts'
import type { LatchkeyError } from '../../src/base/errors.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const keyring = ['--keyring', '/nowhere/keyring', '--root', 'file:/nowhere/root']
const inEtcd = ['--keyring', 'etcd:https://127.0.0.1:1/latchkey', '--root', 'file:/nowhere/root']
const backup = ['keys', 'backup']
const check = [...backup, '--check', '/nowhere/snapshot.db']
const tried = [...check, '--from', '/nowhere/backup', '--passphrase-file', '/nowhere/phrase']
const retire = ['keys', 'retire', 'lk1.1.x', ...keyring, '--unproven']
const destroy = ['keys', 'destroy', 'lk1.1.x', ...keyring, '--unproven']
const etcd = ['--etcd', 'https://127.0.0.1:1']
const status = ['delivery', 'status', 'secret/db', '--token', '/nowhere/token']

/** What does nothing, last, in a call that would go on without it. */
const idle: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    [...backup, ...keyring],
    ['--from', 'old.latchkey'],
  ],
  [
    [...backup, ...keyring],
    ['--share', 'a.txt'],
  ],
  [
    [...backup, ...keyring],
    ['--prefix', '/registry'],
  ],
  [
    [...backup, ...keyring],
    ['-o', 'json'],
  ],
  [
    [...check, ...keyring],
    ['--share', 'a.txt'],
  ],
  [
    [...check, ...keyring],
    ['--shares', '5'],
  ],
  [
    [...check, ...keyring],
    ['--threshold', '3'],
  ],
  [
    [...check, ...keyring],
    ['--share-dir', 'shares'],
  ],
  [
    [...check, ...keyring],
    ['--passphrase-file', 'phrase'],
  ],
  [tried, ['--keyring', '/nowhere/keyring']],
  [tried, ['--root', 'file:/nowhere/root']],
  [retire, etcd],
  [retire, ['--prefix', '/registry']],
  [destroy, etcd],
  [destroy, ['--compact']],
  [
    ['keys', 'adopt', ...keyring, '--from', 'etcd:https://127.0.0.1:1/x'],
    ['--local-copy', 'c'],
  ],
  [
    ['keys', 'list', ...keyring],
    ['--local-copy', 'c'],
  ],
  [
    ['keys', 'list', ...keyring],
    ['--etcd-ca', 'ca.crt'],
  ],
  [
    ['etcd', 'scan', '--snapshot', '/nowhere/snapshot.db'],
    ['--etcd-cert', 'client.crt'],
  ],
  [
    ['etcd', 'migrate', '--kubeconfig', '/nowhere', '--resource', 'secrets'],
    ['--prefix', '/r'],
  ],
  [
    ['keys', 'nodes', 'remove', 'cp-3', '--keyring', '/nowhere/keyring'],
    ['-o', 'json'],
  ],
  [
    ['keys', 'rotate', ...inEtcd, ...etcd, '--kubeconfig', '/nowhere/admin.conf'],
    ['--listen', 'unix:///run/latchkey/kms.sock'],
  ],
  [['keys', 'rotate', ...keyring, ...etcd, '--kubeconfig', '/nowhere/a', '--dry-run'], ['--abort']],
  [['doctor'], ['--max-key-age', '30']],
  [status, ['--audience', 'latchkey']],
  [
    [...status, '--broker', '127.0.0.1:1'],
    ['--system', 'latchkey-system'],
  ],
  [
    ['explain', 'pod', '-f', '/nowhere/web.yaml', '--grants'],
    ['-o', 'json'],
  ],
  [
    ['rbac', 'suggest', '--audit', '/nowhere/broker.jsonl'],
    ['--account', 'shop/web'],
  ],
  [
    ['rbac', 'suggest', '--audit', '/nowhere/broker.jsonl'],
    ['--system', 'latchkey-system'],
  ],
]

for (const [call, given] of idle) {
  test.serial(`${given[0]} is refused where it would do nothing: ${call.join(' ')}`, async (t) => {
    const option = given[0] === '-o' ? '--output' : (given[0] ?? '')
    const refused = await failureOf(t, [...call, ...given])
    t.is(refused?.code, 'ERR_USAGE')
    t.true(refused?.message.startsWith(option), refused?.message)
    t.regex(refused?.hint ?? '', /^[a-z].{5,}/)
    // Without it the call gets further, to whatever there is not.
    t.notRegex((await failureOf(t, call))?.message ?? '', new RegExp(`^${option} `))
  })
}

test.serial('what a file of options has is let be', async (t) => {
  const file = join(await temporaryDirectory(t), 'kms.yaml')
  await writeFile(file, 'etcd-ca: ca.crt\nlocal-copy: /var/lib/latchkey/copy\nlisten: unix:///s\n')
  const command = withEtcd(withKeyring(new Command('x'))).option('--listen <socket>')
  await command.parseAsync(['--keyring', 'ring', '--config', file], { from: 'user' })
  const { listen, localCopy } = await settle<{ listen: string; localCopy: string }>(command, [])
  t.deepEqual([listen, localCopy], ['unix:///s', '/var/lib/latchkey/copy'])
  t.notThrows(() => {
    refuseIdle(command, ['listen', 'not-an-option'], { because: 'does nothing', hint: 'leave it' })
  })
})

test.serial('files of etcd are there for either etcd', async (t) => {
  for (const args of [inEtcd, [...keyring, ...etcd]]) {
    const command = withEtcd(withKeyring(new Command('x')))
    await command.parseAsync([...args, '--etcd-ca', 'ca.crt'], { from: 'user' })
    t.like(await settle(command, ['keyring']), { etcdCa: 'ca.crt' })
  }
})

async function failureOf(
  t: ExecutionContext,
  args: readonly string[],
): Promise<LatchkeyError | undefined> {
  const program = new Command('latchkey')
    .addCommand(keysCommand())
    .addCommand(etcdCommand())
    .addCommand(doctorCommand())
    .addCommand(deliveryCommand())
    .addCommand(explainCommand())
    .addCommand(rbacCommand())
  const exitCode = process.exitCode
  t.teardown(() => (process.exitCode = exitCode))
  return await program.parseAsync(args, { from: 'user' }).then(
    () => undefined,
    (error: unknown) => error as LatchkeyError,
  )
}
