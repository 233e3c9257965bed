import { keepOutOfCore } from './keep-out-of-core.ts'
import { reportError } from './report-error.ts'
import { version } from './version.ts'

/** A command line taken apart. */
type Command<Config> =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve' | 'run'; readonly config: Config }

/** A program that works until it is told to stop. */
export interface LongRunning<Config> {
  readonly help: string
  /** Takes the command line apart, and reads the files that it names. */
  readonly read: (args: readonly string[]) => Promise<Command<Config>>
  /** Works until the signal. Resolves with the exit code if it is not simply that of success. */
  readonly serve: (
    config: Config,
    options: { readonly signal: AbortSignal },
  ) => Promise<number> | Promise<void>
}

/** Runs a program as this process: its arguments, signals, errors and exit code. */
export async function runLongRunning<Config>(program: LongRunning<Config>): Promise<void> {
  keepOutOfCore()
  // Nothing that this process makes is for others, but for what is given its mode explicitly.
  process.umask(0o077)
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      // Asked twice, it does not finish what is in flight.
      if (stop.signal.aborted) process.exit(1)
      stop.abort()
    })
  }
  try {
    const command = await program.read(process.argv.slice(2))
    if (command.kind === 'help') process.stdout.write(program.help)
    else if (command.kind === 'version') process.stdout.write(`${version}\n`)
    else {
      const code = await program.serve(command.config, { signal: stop.signal })
      if (typeof code === 'number') process.exitCode = code
    }
  } catch (error) {
    reportError(error)
  }
}
