import { createServer } from 'node:net'
import { stat } from 'node:fs/promises'
import type { DevLayout } from '../../src/admin/dev/layout.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { startProgram, type ChildProgram } from '../child-program.ts'

const startTimeoutMs = 30_000

/** The programs of `latchkey dev`, running. */
export interface DevPrograms {
  /** Id of the key that the plugin encrypts with. */
  readonly keyId: string
  /** Resolves when all have ended; rejects with `ERR_IO` when one failed. */
  readonly ended: Promise<void>
}

/** Starts plugin, broker and sidecar as an administrator would, and waits until each does its work. */
export async function startDevPrograms(
  layout: DevLayout,
  options: { readonly onLine: (line: string) => void; readonly signal: AbortSignal },
): Promise<DevPrograms> {
  const broker = `127.0.0.1:${await freePort()}`
  const running: Promise<void>[] = []
  const stopping: (() => void)[] = []
  const start = (name: string, args: readonly string[]): ChildProgram => {
    const program = startProgram(name, { args, onLine: options.onLine })
    stopping.push(() => {
      program.stop()
    })
    running.push(succeeded(name, program))
    return program
  }
  const stopAll = (): void => {
    for (const stop of stopping) stop()
  }
  options.signal.addEventListener('abort', stopAll)
  start('kms', ['--config', layout.kmsConfig, '--log-level', 'debug'])
  start('broker', [
    ...['--listen', broker, '--tls-cert', layout.tls.cert, '--tls-key', layout.tls.key],
    ...['--source', `file:${layout.store}`, '--store-root', `file:${layout.storeRoot}`],
    ...['--auth', `static:${layout.permissions}`, '--audit', layout.audit],
  ])
  start('sidecar', [
    ...['--broker', broker, '--ca', layout.tls.ca, '--token', layout.token],
    ...['--secrets', layout.plan, '--root', layout.pod],
  ])
  if (options.signal.aborted) stopAll()
  const ended = Promise.all(running).then(() => undefined)
  const looking = new AbortController()
  try {
    const keyId = await Promise.race([
      Promise.all([
        answering(layout.socket, looking.signal),
        present(layout.file, looking.signal),
      ]).then(([id]) => id),
      ended.then(() => Promise.reject(new LatchkeyError('ERR_ABORTED', 'stopped while starting'))),
    ])
    return { keyId, ended: ended.finally(stopAll) }
  } catch (error) {
    stopAll()
    await Promise.allSettled(running)
    throw error
  } finally {
    looking.abort()
  }
}

async function succeeded(name: string, program: ChildProgram): Promise<void> {
  const code = await program.ended
  if (code === 0) return
  throw new LatchkeyError('ERR_IO', `latchkey-${name} ended with exit code ${code}`, {
    hint: 'what it said is above',
  })
}

/** The key id that the plugin on `socket` serves, as soon as it answers. */
async function answering(socket: string, signal: AbortSignal): Promise<string> {
  const { askKmsStatus } = await import('../../src/clients/kms-status.ts')
  return soon(async () => (await askKmsStatus(socket, 1000)).keyId, signal)
}

async function present(file: string, signal: AbortSignal): Promise<void> {
  await soon(() => stat(file), signal)
}

async function soon<T>(look: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (signal.aborted || performance.now() > deadline) throw error
      await new Promise((done) => setTimeout(done, 50))
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  if (address === null || typeof address === 'string') throw new TypeError('not a TCP address')
  return address.port
}
