import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Child, startChild, tail } from './child.ts'
import type { Ground } from './ground.ts'
import type { Keyring } from './keyring.ts'
import { connectKms } from './kms-client.ts'
import { type Origin, ourProgram } from './our-program.ts'
import { GivenUp, until } from './until.ts'

/** Where a plugin serves and what it opens. */
export interface KmsPluginOptions {
  readonly keyring: Pick<Keyring, 'dir' | 'root'>
  /** Path of the socket; its directory is made, mode 0700, when it is missing. */
  readonly socket: string
  /** `HOST:PORT` of the metrics and health endpoint. */
  readonly metrics: string
  /** Default: the checkout. A release starts in a fraction of the time. */
  readonly origin?: Origin
  /** Name of the process, for its log; default `latchkey-kms`. */
  readonly name?: string
  /** Appended to the command line. */
  readonly flags?: readonly string[]
}

/** The plugin as a unit file would run it. */
export interface KmsPlugin {
  readonly socket: string
  /** Starts it; resolves when Status is answered. */
  start(): Promise<void>
  /** Ends it, with SIGTERM unless told otherwise. */
  stop(how?: 'gracefully' | 'at once'): Promise<void>
  /** The process that is, or last was, running. */
  child(): Child
  /** The text of its `/metrics`. */
  metrics(): Promise<string>
}

/** Starts `latchkey-kms` from the checkout, which makes its own socket. */
export async function startKmsPlugin(
  ground: Ground,
  options: KmsPluginOptions,
): Promise<KmsPlugin> {
  const { socket, metrics } = options
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 })
  const { command, script } = await ourProgram(ground, 'kms', options.origin)
  let child: Child | undefined
  const plugin: KmsPlugin = {
    socket,
    start: async () => {
      child = startChild(ground, {
        name: options.name ?? 'latchkey-kms',
        command,
        args: [script, ...kmsFlags(options)],
      })
      await answering(child, socket)
    },
    stop: async (how = 'gracefully') => {
      await (how === 'gracefully' ? child?.stop() : child?.kill())
    },
    child: () => {
      if (child === undefined) throw new Error('the plugin was never started')
      return child
    },
    metrics: async () => await readMetrics(metrics),
  }
  await plugin.start()
  return plugin
}

/** The plugin's command line. */
export function kmsFlags(options: KmsPluginOptions): readonly string[] {
  const { keyring, socket, metrics } = options
  return [
    ...['--keyring', keyring.dir, '--root', keyring.root],
    ...['--listen', `unix://${socket}`, '--metrics', metrics],
    ...(options.flags ?? []),
  ]
}

/** Resolves when Status on `socket` is answered `ok`. */
export async function answering(child: Child, socket: string): Promise<void> {
  const client = await connectKms(socket)
  try {
    await until(
      'the plugin to answer',
      async () => {
        if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
        return (await client.status()).healthz === 'ok'
      },
      { timeoutMs: 15_000, everyMs: 20 },
    )
  } finally {
    client.close()
  }
}

/** The Prometheus text at `address`. */
export async function readMetrics(address: string): Promise<string> {
  const response = await fetch(`http://${address}/metrics`)
  if (!response.ok) throw new Error(`metrics answered ${response.status}`)
  return await response.text()
}

/** A socket path in the ground's directory. */
export function socketPath(ground: Ground): string {
  return join(ground.dir, 'kms', 'kms.sock')
}
