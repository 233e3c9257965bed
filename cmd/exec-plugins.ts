import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import { isatty } from 'node:tty'
import { LatchkeyError, systemCode } from '../src/base/errors.ts'
import type { RunExec } from '../src/clients/exec-credential.ts'
import type { Plugins } from '../src/clients/kubeconfig.ts'

/** A login in a browser may take its time; a command that hangs must end. */
const timeoutMs = 300_000
const maxPrintedBytes = 1_048_576

/**
 * Runs a kubeconfig's credential plugin with this process's environment. It talks to the person at
 * the terminal by its standard error, and by standard input where that is a terminal.
 */
const run: RunExec = async (command, env) => {
  const interactive = isatty(0) && command.terminal !== 'Never'
  const name = basename(command.command)
  const problem = (what: string): LatchkeyError =>
    new LatchkeyError('ERR_KUBERNETES_CONFIG', `${name} ${what}`)
  if (command.terminal === 'Always' && !interactive) throw problem('needs a terminal')
  const child = spawn(command.command, command.args, {
    stdio: [interactive ? 'inherit' : 'ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...command.env, ...env(interactive) },
  })
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
  }, timeoutMs)
  const printed: Buffer[] = []
  let length = 0
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  child.once('error', (error) => {
    reject(problem(`cannot be run (${systemCode(error) ?? 'unknown error'})`))
  })
  child.stdout.on('data', (chunk: Buffer) => {
    printed.push(chunk)
    length += chunk.byteLength
    if (length <= maxPrintedBytes) return
    reject(problem('prints too much'))
    child.kill('SIGKILL')
  })
  child.once('close', (code, signal) => {
    if (code === 0) resolve(Buffer.concat(printed))
    else reject(problem(signal === null ? `exited with ${String(code)}` : `ended by ${signal}`))
  })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** What the programs of people give {@link readKubeconfig}; servers run no plugins. */
export const execPlugins: Plugins = { run, now: () => Date.now() }
