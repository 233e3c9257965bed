import test from 'ava'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { claimDev } from '../../src/admin/dev/claim.ts'
import { devLayout } from '../../src/admin/dev/layout.ts'
import { listenUnix } from '../../src/net/unix-listener.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const listenWith = (context: RecordedContext) => (path: string) =>
  listenUnix(path, {
    onConnection: (socket) => socket.destroy(),
    onError: () => undefined,
    identity: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    random: context.random,
    umask: (mask) => process.umask(mask),
    now: () => Date.now(),
  })

test('a directory is taken by one at a time, and again when it is free', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('a/new/one'))
  const claim = (): Promise<() => Promise<void>> => claimDev(context, layout, listenWith(context))
  const release = await claim()
  t.is((await stat(layout.directory)).mode & 0o777, 0o700)
  await t.throwsAsync(claim(), { code: 'ERR_SOCKET_IN_USE', message: /another latchkey dev/ })
  await release()
  const again = await claim()
  await again()
  t.deepEqual(await readdir(dirname(layout.lock)), [])
})

test('of several that start at once, one gets it', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('dev'))
  const claims = await Promise.allSettled(
    Array.from({ length: 4 }, () => claimDev(context, layout, listenWith(context))),
  )
  const taken = claims.flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []))
  t.is(taken.length, 1)
  await taken[0]?.()
})

test('a plugin that a killed one left behind keeps the directory', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('dev'))
  const listen = listenWith(context)
  const release = await claimDev(context, layout, listen)
  const plugin = await listen(layout.socket)
  await release()
  await t.throwsAsync(claimDev(context, layout, listen), { code: 'ERR_SOCKET_IN_USE' })
  await plugin.stop()
  const again = await claimDev(context, layout, listen)
  await again()
})

test('what it did not make is left alone', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('mine'))
  const file = join(layout.pod, 'precious')
  await mkdir(layout.pod, { recursive: true })
  await writeFile(file, 'mine')
  const refused = { code: 'ERR_USAGE' }
  await t.throwsAsync(claimDev(context, layout, listenWith(context)), refused)
  t.is(await readFile(file, 'utf8'), 'mine')
  t.deepEqual(await readdir(layout.directory), ['pod'])
  await t.throwsAsync(claimDev(context, devLayout(file), listenWith(context)), refused)
  const below = devLayout(join(file, 'below'))
  await t.throwsAsync(claimDev(context, below, listenWith(context)), refused)
})

test('a socket path that the system would not take is refused before anything is made', async (t) => {
  const context = await recordedContext(t)
  const layout = devLayout(context.path('x'.repeat(100)))
  await t.throwsAsync(claimDev(context, layout, listenWith(context)), { code: 'ERR_USAGE' })
  await t.throwsAsync(stat(layout.directory))
})
