import test from 'ava'
import { readFile, stat } from 'node:fs/promises'
import { parse } from 'yaml'
import { checkEncryptionConfig } from '../../src/admin/doctor/encryption-config-check.ts'
import { devLayout, encryptionConfigText } from '../../src/admin/dev/layout.ts'
import { narrate } from '../../src/admin/dev/narrate.ts'
import { prepareDev } from '../../src/admin/dev/prepare.ts'
import { welcome } from '../../src/admin/dev/welcome.ts'
import { keysList } from '../../src/admin/keys/list.ts'
import { recordedContext } from '../support/admin-context.ts'

test('a first start makes a keyring; a second one uses it again', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('latchkey-dev'))
  await prepareDev(context, layout)
  const flags = { keyring: layout.keyring, root: [`file:${layout.root}`], output: 'json' as const }
  await keysList(context, flags)
  const first = context.data.pop()
  await prepareDev(context, layout)
  await keysList(context, flags)
  t.is(context.data.pop(), first)
  t.is((await stat(layout.directory)).mode & 0o777, 0o700)
  const config: unknown = parse(await readFile(layout.kmsConfig, 'utf8'))
  t.deepEqual(config, {
    keyring: layout.keyring,
    root: `file:${layout.root}`,
    listen: `unix://${layout.socket}`,
  })
  t.deepEqual(context.said, [])
})

test('a socket path that the system would not take is refused before anything is made', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('x'.repeat(100)))
  await t.throwsAsync(prepareDev(context, layout), { code: 'ERR_USAGE' })
  await t.throwsAsync(stat(layout.directory))
})

test('doctor has only the plaintext warning for the EncryptionConfiguration that is shown', (t) => {
  const socketPath = '/tmp/latchkey-dev/run/kms.sock'
  const found = checkEncryptionConfig(encryptionConfigText(socketPath), { socketPath })
  t.deepEqual(
    found.map(({ level }) => level),
    ['warning'],
  )
  const shown = welcome(devLayout('/tmp/latchkey-dev'), {
    cwd: '/tmp',
    keyId: 'lk1.1.x',
    command: 'npx latchkey',
  }).join('\n')
  t.true(shown.includes(encryptionConfigText(socketPath).trimEnd().replace(/^/gm, '  ')))
  t.true(shown.includes('npx latchkey keys stage --config latchkey-dev/kms.yaml'))
})

test('a log line becomes one line for a person, and other text passes', (t) => {
  const line =
    '{"level":"warn","time":"2026-01-02T03:04:05.678Z","program":"latchkey-kms","event":"kms.request","method":"Encrypt","ms":1.5}'
  t.is(narrate(line), '03:04:05.678  WARN kms.request              method=Encrypt ms=1.5')
  t.is(narrate('plain words'), 'plain words')
  t.is(narrate('[1]'), '[1]')
})
