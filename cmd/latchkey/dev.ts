import { Command } from 'commander'
import { resolve } from 'node:path'
import { LatchkeyError } from '../../src/base/errors.ts'
import { inCheckout, startProgram } from '../child-program.ts'
import { processContext } from '../process-context.ts'
import { settle, withConfig } from './options.ts'

const startTimeoutMs = 15_000

/** `latchkey dev`: the real programs on this machine, with everything they need, until Ctrl-C. */
export function devCommand(): Command {
  return withConfig(new Command('dev'))
    .description('try it out: a plugin with a keyring of its own, no cluster needed')
    .option('--dir <dir>', 'where everything is kept; may be deleted afterwards', 'latchkey-dev')
    .action(async (_options, command: Command) => {
      const { dir } = await settle<{ dir: string }>(command, [])
      await dev(resolve(dir))
    })
}

async function dev(directory: string): Promise<void> {
  const { devLayout } = await import('../../src/admin/dev/layout.ts')
  const { narrate } = await import('../../src/admin/dev/narrate.ts')
  const { prepareDev } = await import('../../src/admin/dev/prepare.ts')
  const { welcome } = await import('../../src/admin/dev/welcome.ts')
  const context = processContext()
  const layout = devLayout(directory)
  await prepareDev(context, layout)
  let greeted = false
  const early: string[] = []
  const show = (line: string): void => {
    if (greeted) context.terminal.data(narrate(line))
    else early.push(line)
  }
  const plugin = startProgram('kms', {
    args: ['--config', layout.kmsConfig, '--log-level', 'debug'],
    onLine: show,
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      plugin.stop()
    })
  const first = await Promise.race([answering(layout.socket), plugin.ended])
  if (typeof first === 'string') {
    const command = inCheckout ? 'npx latchkey' : 'latchkey'
    const greeting = { cwd: process.cwd(), keyId: first, command }
    for (const line of welcome(layout, greeting)) context.terminal.data(line)
    greeted = true
  } else {
    for (const line of early) context.terminal.say(line)
  }
  const code = await plugin.ended
  if (code !== 0) throw new LatchkeyError('ERR_IO', `latchkey-kms ended with exit code ${code}`)
}

/** The key id that the plugin on `socket` serves, as soon as it answers. */
async function answering(socket: string): Promise<string> {
  const { askKmsStatus } = await import('../../src/clients/kms-status.ts')
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    try {
      return (await askKmsStatus(socket, 1000)).keyId
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((done) => setTimeout(done, 50))
    }
  }
}
