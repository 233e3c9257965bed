import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { utf8 } from '../../base/bytes.ts'
import { LatchkeyError } from '../../base/errors.ts'
import { replaceFile } from '../../clients/disk.ts'
import type { AdminContext } from '../context.ts'
import { keysInit } from '../keys/init.ts'
import { encryptionConfigText, kmsConfigText, type DevLayout } from './layout.ts'

const maxSocketPathBytes = 107

/**
 * Makes what the plugin needs, where it is not there yet: directories, a root file, a keyring, and
 * the two configuration files. What is there is used again.
 *
 * @throws `ERR_USAGE` when the socket's path would be too long for the system.
 */
export async function prepareDev(context: AdminContext, layout: DevLayout): Promise<void> {
  if (utf8(layout.socket).byteLength > maxSocketPathBytes) {
    throw new LatchkeyError('ERR_USAGE', 'the path of the socket would be too long', {
      hint: 'name a directory with a shorter path, as in: latchkey dev --dir /tmp/latchkey-dev',
    })
  }
  for (const directory of [layout.directory, dirname(layout.socket)]) {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  }
  const store = await context.openStore(layout.keyring)
  if ((await store.load()) === undefined) {
    const quiet = { ...context, terminal: { ...context.terminal, data: ignore, say: ignore } }
    const root = [`file:${layout.root}`]
    await keysInit(quiet, { keyring: layout.keyring, root, clusterId: 'dev' })
  }
  const write = { disk: context.disk, random: context.random, mode: 0o600 }
  await replaceFile(layout.kmsConfig, utf8(kmsConfigText(layout)), write)
  await replaceFile(layout.encryptionConfig, utf8(encryptionConfigText(layout.socket)), write)
}

function ignore(_line: string): void {
  // The words of keys init are for administrators of real keyrings.
}
