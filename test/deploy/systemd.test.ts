import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { parseUnitFile } from '../support/unit-file.ts'

const folder = join(import.meta.dirname, '..', '..', 'deploy', 'systemd')
const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8')
const socketText = await read('latchkey-kms.socket')
const serviceText = await read('latchkey-kms.service')
const socket = parseUnitFile(socketText)
const service = parseUnitFile(serviceText)
const config = parse(await read('kms.yaml')) as Readonly<Record<string, string>>

test('the socket is the one that kms.yaml names, and only root may connect', (t) => {
  t.like(socket['Socket'], {
    ListenStream: [config['listen']?.replace('unix://', '')],
    SocketMode: ['0600'],
    SocketUser: ['root'],
    DirectoryMode: ['0755'],
  })
})

test("the socket's directory outlives the service, so that it can be mounted", (t) => {
  t.false('RuntimeDirectory' in (service['Service'] ?? {}))
  t.deepEqual(service['Unit']?.['Requires'], ['latchkey-kms.socket'])
})

test('the service runs a program of ours with the configuration file', (t) => {
  const [program, ...args] = service['Service']?.['ExecStart']?.[0]?.split(' ') ?? []
  t.true(program?.startsWith('/opt/latchkey/bin/'))
  t.true(String(program?.split('/').at(-1)) in manifest.bin)
  t.deepEqual(args, ['--config', '/etc/latchkey/kms.yaml'])
})

test('both start before the kubelet, and the service is never given up', (t) => {
  for (const unit of [socket, service]) t.deepEqual(unit['Unit']?.['Before'], ['kubelet.service'])
  t.deepEqual(service['Unit']?.['StartLimitIntervalSec'], ['0'])
  t.deepEqual(service['Service']?.['Restart'], ['always'])
})

test('keys stay out of core files and swap', (t) => {
  t.like(service['Service'], { LimitCORE: ['0'], MemorySwapMax: ['0'] })
})

test('the keyring lies where the service may write, the root where it may not', (t) => {
  t.is(config['keyring']?.split('/').slice(0, -1).join('/'), '/var/lib/latchkey')
  t.deepEqual(service['Service']?.['StateDirectory'], ['latchkey'])
  t.deepEqual(service['Service']?.['ProtectSystem'], ['strict'])
  t.true(config['root']?.startsWith('file:/etc/latchkey/'))
  t.false('ReadWritePaths' in (service['Service'] ?? {}))
})

test('metrics.conf opens loopback and nothing else', async (t) => {
  const drop = parseUnitFile(serviceText, await read('drop-ins/metrics.conf'))['Service']
  t.like(drop, {
    PrivateNetwork: ['yes', 'no'],
    IPAddressDeny: ['any'],
    IPAddressAllow: ['localhost'],
    RestrictAddressFamilies: ['AF_UNIX', 'AF_INET'],
  })
  const [before] = service['Service']?.['ExecStart'] ?? []
  t.deepEqual(drop?.['ExecStart'], [`${before ?? ''} --metrics 127.0.0.1:9464`])
})

test('etcd.conf opens loopback and nothing else', async (t) => {
  const drop = parseUnitFile(serviceText, await read('drop-ins/etcd.conf'))['Service']
  t.like(drop, {
    PrivateNetwork: ['yes', 'no'],
    IPAddressDeny: ['any'],
    IPAddressAllow: ['localhost'],
    RestrictAddressFamilies: ['AF_UNIX', 'AF_INET AF_INET6'],
  })
})

test('socket-group.conf lets one group in, and still not everybody', async (t) => {
  const drop = parseUnitFile(socketText, await read('drop-ins/socket-group.conf'))['Socket']
  t.deepEqual(drop?.['SocketMode'], ['0600', '0660'])
  t.is(drop?.['SocketGroup']?.length, 2)
})

test('sealed-root.conf names the credential that its comment tells kms.yaml to use', async (t) => {
  const text = await read('drop-ins/sealed-root.conf')
  const [credential] = parseUnitFile(text)['Service']?.['LoadCredentialEncrypted'] ?? []
  t.true(text.includes(`root: file:credential:${credential?.split(':')[0] ?? '?'}\n`))
})

test('the user, and the directories that it needs, are made by sysusers.d and tmpfiles.d', async (t) => {
  const user = service['Service']?.['User']?.[0] ?? '?'
  t.regex(await read('sysusers.d/latchkey.conf'), new RegExp(`^u ${user} - `, 'm'))
  const directories = await read('tmpfiles.d/latchkey.conf')
  t.regex(directories, new RegExp(`^d /var/lib/latchkey 0700 ${user} ${user} -$`, 'm'))
  t.regex(directories, new RegExp(`^d /etc/latchkey +0750 root +${user} -$`, 'm'))
})
