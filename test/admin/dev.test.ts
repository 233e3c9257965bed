import test, { type ExecutionContext } from 'ava'
import { readFile, stat } from 'node:fs/promises'
import { parse } from 'yaml'
import { devLayout, type DevLayout } from '../../src/admin/dev/layout.ts'
import { narrate } from '../../src/admin/dev/narrate.ts'
import { prepareDev } from '../../src/admin/dev/prepare.ts'
import { encryptionConfigText, planText } from '../../src/admin/dev/texts.ts'
import { welcome } from '../../src/admin/dev/welcome.ts'
import { checkEncryptionConfig } from '../../src/admin/doctor/encryption-config-check.ts'
import { keysList } from '../../src/admin/keys/list.ts'
import { parseStaticFile } from '../../src/broker/static-file.ts'
import { openSecretStore } from '../../src/secrets/sources/open.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const certificates = { ca: 'CA', cert: 'CERT', key: Buffer.from('KEY') }

async function prepared(
  t: ExecutionContext,
  directory = 'latchkey-dev',
): Promise<{ context: RecordedContext; layout: DevLayout; again: () => Promise<void> }> {
  const context = await recordedContext(t)
  const layout = devLayout(context.path(directory))
  const storeRoot = `file:${layout.storeRoot}`
  const again = (): Promise<void> =>
    prepareDev(context, layout, {
      openSecrets: () => openSecretStore(layout.store, { storeRoot, create: true, deps: context }),
      makeCertificates: async () => certificates,
    })
  return { context, layout, again }
}

test('a first start makes keyring and store; a second one uses them again', async (t) => {
  const { context, layout, again } = await prepared(t)
  await again()
  const flags = { keyring: layout.keyring, root: [`file:${layout.root}`], output: 'json' as const }
  await keysList(context, flags)
  const first = context.data.pop()
  await again()
  await keysList(context, flags)
  t.is(context.data.pop(), first)
  t.is((await stat(layout.directory)).mode & 0o777, 0o700)
  t.is((await stat(layout.tls.key)).mode & 0o777, 0o600)
  t.is((await stat(layout.token)).mode & 0o777, 0o600)
  t.deepEqual(parse(await readFile(layout.kmsConfig, 'utf8')), {
    keyring: layout.keyring,
    root: `file:${layout.root}`,
    listen: `unix://${layout.socket}`,
  })
  t.deepEqual(context.said, [])
})

test('the permissions name the pod by what its token hashes to, and never the token', async (t) => {
  const { layout, again } = await prepared(t)
  await again()
  const [text, token] = [
    await readFile(layout.permissions, 'utf8'),
    await readFile(layout.token, 'utf8'),
  ]
  t.deepEqual(parseStaticFile(text).accounts, [{ namespace: 'dev', name: 'web', mount: ['db'] }])
  t.is(token.length, 43)
  t.false(text.includes(token))
  t.regex(text, /mount: \[db\]/, 'as the command that is shown expects it')
})

test('what is shown is what was written, and doctor only warns of the plaintext', (t) => {
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
  t.true(shown.includes(planText().trimEnd().replace(/^/gm, '  ')))
  t.true(shown.includes('npx latchkey keys stage --config latchkey-dev/kms.yaml'))
})

test('a log line becomes one line for a person, and other text passes', (t) => {
  const line =
    '{"level":"warn","time":"2026-01-02T03:04:05.678Z","program":"latchkey-kms","event":"kms.request","method":"Encrypt","ms":1.5123}'
  t.is(narrate(line), '03:04:05.678  WARN kms.request              method=Encrypt ms=1.51')
  t.is(narrate('plain words'), 'plain words')
  t.is(narrate('[1]'), '[1]')
})
