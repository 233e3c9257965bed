import test from 'ava'
import { chmod, lchown, mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { verifySocketDirectory } from '../../src/net/socket-directory.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const uid = process.getuid?.() ?? 0
const gid = process.getgid?.() ?? 0
const identity = { uid, gid }

/** Gives `path` to another user where we may; otherwise says that we are another one. */
async function giveAway(path: string): Promise<{ uid: number; gid: number }> {
  if (uid !== 0) return { uid: uid + 1, gid }
  await lchown(path, 1234, gid)
  return identity
}

test('a directory of our own that only we may write to is fine', async (t) => {
  const base = await temporaryDirectory(t)
  for (const mode of [0o700, 0o750, 0o755, 0o711]) {
    await chmod(base, mode)
    await t.notThrowsAsync(verifySocketDirectory(base, identity))
  }
})

test('a missing directory and a file in its place are told apart', async (t) => {
  const base = await temporaryDirectory(t)
  const missing = await t.throwsAsync(verifySocketDirectory(join(base, 'a'), identity), {
    code: 'ERR_SOCKET_PATH',
    message: /does not exist/,
  })
  t.regex((missing as unknown as { hint: string }).hint, /mkdir -m 0750/)
  await writeFile(join(base, 'file'), '')
  await t.throwsAsync(verifySocketDirectory(join(base, 'file'), identity), {
    code: 'ERR_SOCKET_PATH',
    message: /not a directory/,
  })
})

for (const mode of [0o777, 0o1777, 0o770, 0o775, 0o757, 0o2770]) {
  test(`mode ${mode.toString(8)} is unsafe for the directory itself`, async (t) => {
    const base = await temporaryDirectory(t)
    await chmod(base, mode)
    const error = await t.throwsAsync(verifySocketDirectory(base, identity), {
      code: 'ERR_SOCKET_UNSAFE',
    })
    // Nobody is told to close what the whole machine shares.
    const { hint } = error as unknown as { hint: string }
    t.is(hint.includes('chmod'), (mode & 0o1000) === 0)
  })
}

test('on the way, others may write only where the sticky bit is set', async (t) => {
  const base = await temporaryDirectory(t)
  const inner = join(base, 'inner')
  await mkdir(inner, 0o700)
  await chmod(base, 0o1777)
  await t.notThrowsAsync(verifySocketDirectory(inner, identity))
  await chmod(base, 0o777)
  await t.throwsAsync(verifySocketDirectory(inner, identity), { code: 'ERR_SOCKET_UNSAFE' })
  await chmod(base, 0o770)
  await t.notThrowsAsync(verifySocketDirectory(inner, identity), 'own group on the way')
})

test('directories and links of another user are unsafe', async (t) => {
  const base = await temporaryDirectory(t)
  for (const name of ['own', 'way']) await mkdir(join(base, name), 0o700)
  await mkdir(join(base, 'way/inner'), 0o700)
  await symlink('own', join(base, 'link'))
  for (const [given, directory] of [
    ['link', 'link'],
    ['own', 'own'],
    ['way', 'way/inner'],
  ] as const) {
    const we = await giveAway(join(base, given))
    await t.throwsAsync(verifySocketDirectory(join(base, directory), we), {
      code: 'ERR_SOCKET_UNSAFE',
      message: /belongs to user/,
    })
  }
})

test('on the way, another group may not write', async (t) => {
  const base = await temporaryDirectory(t)
  await mkdir(join(base, 'inner'), 0o700)
  await chmod(base, 0o770)
  const found = await stat(base)
  // Root's group is trusted, so this is only another group where the files are not root's.
  if (found.gid === 0) await lchown(base, uid, 1234)
  const we = { uid, gid: found.gid === 0 ? 0 : found.gid + 1 }
  await t.throwsAsync(verifySocketDirectory(join(base, 'inner'), we), {
    code: 'ERR_SOCKET_UNSAFE',
    message: /its group may write/,
  })
})

test('links are followed and judged where they lead', async (t) => {
  const base = await temporaryDirectory(t)
  await mkdir(join(base, 'safe'), 0o700)
  await mkdir(join(base, 'open'), 0o700)
  await chmod(join(base, 'open'), 0o777)
  await mkdir(join(base, 'open/inner'), 0o700)
  await symlink('safe', join(base, 'relative'))
  await symlink(join(base, 'relative'), join(base, 'absolute'))
  await symlink('../base-less/../safe', join(base, 'safe/up'))
  await symlink('open/inner', join(base, 'bad'))
  await symlink('loop', join(base, 'loop'))
  await t.notThrowsAsync(verifySocketDirectory(join(base, 'absolute'), identity))
  await t.throwsAsync(verifySocketDirectory(join(base, 'bad'), identity), {
    code: 'ERR_SOCKET_UNSAFE',
  })
  await t.throwsAsync(verifySocketDirectory(join(base, 'loop'), identity), {
    code: 'ERR_SOCKET_PATH',
    message: /link to itself/,
  })
  await t.throwsAsync(verifySocketDirectory(join(base, 'safe/up'), identity), {
    message: /does not exist/,
  })
})
