import { Command } from 'commander'
import { resolve } from 'node:path'
import type { DevLayout } from '../../src/admin/dev/layout.ts'
import type { DevCertificates } from '../../src/admin/dev/prepare.ts'
import type { RandomBytes } from '../../src/base/random.ts'
import { inCheckout } from '../child-program.ts'
import { processContext, processUid } from '../process-context.ts'
import { startDevPrograms } from './dev-programs.ts'
import { settle, withConfig } from './options.ts'

const certificateMs = 30 * 86_400_000

/** `latchkey dev`: the real programs on this machine, with everything they need, until Ctrl-C. */
export function devCommand(): Command {
  return withConfig(new Command('dev'))
    .description('try it out: plugin, broker and sidecar with a demo secret, no cluster needed')
    .option('--dir <dir>', 'where everything is kept; may be deleted afterwards', 'latchkey-dev')
    .action(async (_options, command: Command) => {
      const { dir } = await settle<{ dir: string }>(command, [])
      await dev(resolve(dir))
    })
}

async function dev(directory: string): Promise<void> {
  const { devLayout } = await import('../../src/admin/dev/layout.ts')
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      stop.abort()
    })
  }
  // Whoever read what it says, as in `latchkey dev | head`, has gone.
  process.stdout.once('error', () => {
    stop.abort()
  })
  const layout = devLayout(directory)
  const release = await claim(layout)
  try {
    await run(layout, stop.signal)
  } finally {
    await release()
  }
}

async function run(layout: DevLayout, signal: AbortSignal): Promise<void> {
  const { narrate } = await import('../../src/admin/dev/narrate.ts')
  const { welcome } = await import('../../src/admin/dev/welcome.ts')
  const { terminal } = processContext()
  await prepare(layout)
  // What is said before the greeting matters only if there will be none.
  const early: string[] = []
  let show = (line: string): void => void early.push(line)
  const onLine = (line: string): void => {
    show(line)
  }
  try {
    const { keyId, ended } = await startDevPrograms(layout, { onLine, signal })
    const command = inCheckout ? 'npx latchkey' : 'latchkey'
    const greeting = welcome(layout, { cwd: process.cwd(), keyId, command })
    for (const line of greeting) terminal.data(line)
    early.length = 0
    show = (line) => {
      terminal.data(narrate(line))
    }
    await ended
  } catch (error) {
    if (signal.aborted) return
    for (const line of early) terminal.say(narrate(line))
    throw error
  }
}

async function claim(layout: DevLayout): Promise<() => Promise<void>> {
  const { claimDev } = await import('../../src/admin/dev/claim.ts')
  const { listenUnix } = await import('../../src/net/unix-listener.ts')
  const context = processContext()
  return claimDev(context, layout, (path) =>
    listenUnix(path, {
      onConnection: (socket) => socket.destroy(),
      onError: () => undefined,
      identity: { uid: processUid, gid: process.getgid?.() ?? 0 },
      random: context.random,
      umask: (mask) => process.umask(mask),
      now: () => Date.now(),
    }),
  )
}

async function prepare(layout: DevLayout): Promise<void> {
  const { prepareDev } = await import('../../src/admin/dev/prepare.ts')
  const { openSecretStore } = await import('../../src/secrets/sources/open.ts')
  const context = processContext()
  const storeRoot = `file:${layout.storeRoot}`
  await prepareDev(context, layout, {
    openSecrets: () => openSecretStore(layout.store, { storeRoot, create: true, deps: context }),
    makeCertificates: () => makeCertificates(context.random),
  })
}

async function makeCertificates(random: RandomBytes): Promise<DevCertificates> {
  const { makeAuthority, makeLeaf } = await import('../../src/webhook/certificates/x509.ts')
  const names = ['127.0.0.1', 'localhost']
  const now = Date.now()
  const options = {
    validity: { notBeforeMs: now - 60_000, notAfterMs: now + certificateMs },
    random,
  }
  using authority = await makeAuthority(names, options)
  using leaf = await makeLeaf(names, { ...options, authority })
  const { createPrivateKey } = await import('node:crypto')
  const key = createPrivateKey({
    key: Buffer.from(leaf.key.expose()),
    format: 'der',
    type: 'pkcs8',
  })
  const pem = Buffer.from(key.export({ format: 'pem', type: 'pkcs8' }))
  return { ca: authority.certificate, cert: leaf.certificate, key: pem }
}
