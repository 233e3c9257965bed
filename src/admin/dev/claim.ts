import { mkdir, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { utf8 } from '../../base/bytes.ts'
import { isLatchkeyError, LatchkeyError, systemCode } from '../../base/errors.ts'
import { replaceFile } from '../../clients/disk.ts'
import { askSocket } from '../../net/socket-file.ts'
import type { AdminContext } from '../context.ts'
import type { DevLayout } from './layout.ts'

/** Says that everything in a directory is of `latchkey dev`, and may be made anew or removed. */
const marker = 'MADE-BY-LATCHKEY-DEV'
const maxSocketPathBytes = 107

/**
 * Takes `layout.directory` for one `latchkey dev`, which is about to replace what lies in it: only a
 * directory that is new, empty or its own, and only while no other uses it.
 *
 * @param listen - Listens on a unix socket, as `listenUnix` does.
 * @returns What gives the directory free again.
 * @throws `ERR_USAGE` for a directory that holds other things or whose socket's path would be too
 * long; `ERR_SOCKET_IN_USE` when another uses it; what `listen` throws.
 */
export async function claimDev(
  context: Pick<AdminContext, 'disk' | 'random'>,
  layout: DevLayout,
  listen: (path: string) => Promise<{ stop(): Promise<void> }>,
): Promise<() => Promise<void>> {
  for (const socket of [layout.socket, layout.lock]) {
    if (utf8(socket).byteLength <= maxSocketPathBytes) continue
    throw new LatchkeyError('ERR_USAGE', 'the path of the socket would be too long', {
      hint: 'name a directory with a shorter path, as in: latchkey dev --dir /tmp/latchkey-dev',
    })
  }
  await takeDirectory(context, layout.directory)
  await mkdir(dirname(layout.lock), { recursive: true, mode: 0o700 })
  let lock: { stop(): Promise<void> }
  try {
    lock = await listen(layout.lock)
  } catch (error) {
    if (!isLatchkeyError(error) || error.code !== 'ERR_SOCKET_IN_USE') throw error
    throw new LatchkeyError('ERR_SOCKET_IN_USE', `another latchkey dev uses ${layout.directory}`, {
      hint: 'end that one with Ctrl-C, or name another directory: latchkey dev --dir DIR',
    })
  }
  if ((await askSocket(layout.socket)) !== 'live') return () => lock.stop()
  await lock.stop()
  throw new LatchkeyError('ERR_SOCKET_IN_USE', `a plugin still serves ${layout.socket}`, {
    hint: `a latchkey dev that was killed left it, and more: pgrep -fa '${layout.directory}/' lists what to end`,
  })
}

async function takeDirectory(
  context: Pick<AdminContext, 'disk' | 'random'>,
  directory: string,
): Promise<void> {
  const refuse = (why: string): never => {
    throw new LatchkeyError('ERR_USAGE', `${directory} ${why}`, {
      hint: 'name a directory that is new or empty: latchkey dev --dir DIR',
    })
  }
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const names = await readdir(directory)
    if (names.length > 0 && !names.includes(marker)) refuse('holds what latchkey dev did not make')
  } catch (error) {
    if (['EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '')) refuse('is no directory')
    throw error
  }
  await replaceFile(join(directory, marker), utf8('This directory may be deleted at any time.\n'), {
    disk: context.disk,
    random: context.random,
    mode: 0o600,
  })
}
