import type { Stats } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { LatchkeyError, systemCode } from '../base/errors.ts'

/** Whom we run as. */
export interface Identity {
  readonly uid: number
  readonly gid: number
}

const maxLinks = 40

/**
 * Makes sure that nobody but root and us can put another socket where ours is, or will be: whoever
 * can, is handed every seed that the API server wants encrypted while we are away.
 *
 * @remarks
 * The rule, for the directory and for every directory and symbolic link on the way to it:
 *
 * - it belongs to root or to us;
 * - the directory itself is writable by its owner only, sticky or not, since a sticky directory
 *   still lets others take a free name;
 * - a directory on the way may be writable by others if it is sticky (`/tmp`), and by its group if
 *   that is root's or our own primary group.
 *
 * @throws `ERR_SOCKET_PATH` when it is missing or no directory, `ERR_SOCKET_UNSAFE` with the remedy.
 */
export async function verifySocketDirectory(directory: string, identity: Identity): Promise<void> {
  let pending = directory.split('/').filter((name) => name !== '')
  let current = '/'
  let stat = await inspect(current, directory)
  for (let links = 0; ;) {
    const name = pending.shift()
    if (name === undefined) break
    checkOwner(current, stat, identity)
    checkOnTheWay(current, stat, identity)
    const next = name === '..' ? join(current, '..') : join(current, name)
    stat = await inspect(next, directory)
    if (!stat.isSymbolicLink()) {
      current = next
      continue
    }
    checkOwner(next, stat, identity)
    links += 1
    if (links > maxLinks)
      throw new LatchkeyError('ERR_SOCKET_PATH', `${directory} is a link to itself`)
    const target = await readlink(next)
    pending = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...pending]
    if (target.startsWith('/')) current = '/'
    stat = await inspect(current, directory)
  }
  checkOwner(current, stat, identity)
  if ((stat.mode & 0o022) !== 0) throw writable(current, stat)
}

async function inspect(path: string, directory: string): Promise<Stats> {
  try {
    const stat = await lstat(path)
    if (stat.isDirectory() || stat.isSymbolicLink()) return stat
    throw new LatchkeyError('ERR_SOCKET_PATH', `${path} is not a directory`)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new LatchkeyError(
      'ERR_SOCKET_PATH',
      `the socket's directory ${directory} does not exist`,
      {
        hint: `create it: mkdir -m 0750 ${directory}`,
      },
    )
  }
}

function checkOwner(path: string, stat: Stats, { uid }: Identity): void {
  if (stat.uid === 0 || stat.uid === uid) return
  throw new LatchkeyError(
    'ERR_SOCKET_UNSAFE',
    `${path} belongs to user ${stat.uid}, who could put another socket in our place`,
    { hint: `choose a directory of root's or of user ${uid}, such as /run/latchkey` },
  )
}

function checkOnTheWay(path: string, stat: Stats, { gid }: Identity): void {
  const sticky = (stat.mode & 0o1000) !== 0
  const foreignGroup = stat.gid !== 0 && stat.gid !== gid
  const unsafe = (stat.mode & 0o002) !== 0 || ((stat.mode & 0o020) !== 0 && foreignGroup)
  if (unsafe && !sticky) throw writable(path, stat)
}

function writable(path: string, stat: Stats): LatchkeyError {
  const who = (stat.mode & 0o002) === 0 ? 'its group' : 'everybody'
  // A sticky directory, such as /tmp, is meant for everybody and must stay so.
  const shared = (stat.mode & 0o1000) !== 0
  return new LatchkeyError(
    'ERR_SOCKET_UNSAFE',
    `${who} may write to ${path} and so put another socket in our place`,
    {
      hint: shared
        ? 'choose a directory of its own for the socket, such as /run/latchkey'
        : `chmod go-w ${path}, or choose a directory of its own for the socket`,
    },
  )
}
