import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toBase64Url, utf8 } from '../../base/bytes.ts'
import { SecretBytes } from '../../base/secret.ts'
import { replaceFile } from '../../clients/disk.ts'
import type { AdminContext } from '../context.ts'
import { keysInit } from '../keys/init.ts'
import { secretSet, type EditableSecrets } from '../secret/secret.ts'
import type { DevLayout } from './layout.ts'
import {
  demo,
  encryptionConfigText,
  kmsConfigText,
  permissionsText,
  planText,
  storeConfigText,
} from './texts.ts'

/** Certificates for the broker, PEM. */
export interface DevCertificates {
  readonly ca: string
  readonly cert: string
  readonly key: Uint8Array
}

/** What else preparing needs; `cmd/` gives it. */
export interface PrepareDeps {
  readonly openSecrets: () => Promise<EditableSecrets>
  readonly makeCertificates: () => Promise<DevCertificates>
}

/**
 * Makes what the programs need, in a directory that `claimDev` has taken. A keyring and a store of
 * secrets that are there are used again; certificates, token, permissions and pod are new at each start.
 */
export async function prepareDev(
  context: AdminContext,
  layout: DevLayout,
  deps: PrepareDeps,
): Promise<void> {
  const directories = [layout.socket, layout.tls.ca, layout.storeRoot].map((path) => dirname(path))
  for (const directory of [layout.directory, ...directories, layout.pod]) {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  }
  const write = (path: string, content: string | Uint8Array): Promise<void> =>
    replaceFile(path, typeof content === 'string' ? utf8(content) : content, {
      disk: context.disk,
      random: context.random,
      mode: 0o600,
    })
  await prepareKeyring(context, layout)
  await write(layout.kmsConfig, kmsConfigText(layout))
  await write(layout.encryptionConfig, encryptionConfigText(layout.socket))
  await prepareSecrets(deps)
  await write(layout.storeConfig, storeConfigText(layout))
  await preparePod(context, layout, write)
  const certificates = await deps.makeCertificates()
  await write(layout.tls.ca, certificates.ca)
  await write(layout.tls.cert, certificates.cert)
  await write(layout.tls.key, certificates.key)
}

async function prepareKeyring(context: AdminContext, layout: DevLayout): Promise<void> {
  const store = await context.openStore(layout.keyring)
  if ((await store.load()) !== undefined) return
  // The words of keys init are for administrators of real keyrings.
  const ignore = (): void => undefined
  const quiet = { ...context, terminal: { ...context.terminal, data: ignore, say: ignore } }
  const root = [`file:${layout.root}`]
  await keysInit(quiet, { keyring: layout.keyring, root, clusterId: 'dev' })
}

async function prepareSecrets(deps: PrepareDeps): Promise<void> {
  using secrets = await deps.openSecrets()
  const target = { namespace: demo.namespace, name: demo.secret }
  using existing = await secrets.load(target)
  if (existing !== undefined) return
  const value = SecretBytes.take(utf8('first-password\n'))
  await secretSet(secrets, { target, key: demo.key, value })
}

async function preparePod(
  context: AdminContext,
  layout: DevLayout,
  write: (path: string, content: string | Uint8Array) => Promise<void>,
): Promise<void> {
  // A pod starts with empty volumes.
  await rm(layout.pod, { recursive: true, force: true })
  await mkdir(layout.pod, { mode: 0o700 })
  using token = SecretBytes.take(utf8(toBase64Url(context.random(32))))
  await write(layout.token, token.expose())
  await write(layout.permissions, permissionsText(token))
  await write(layout.plan, planText())
}
