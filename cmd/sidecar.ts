#!/usr/bin/env node
import { readSidecarCommand } from '../src/sidecar/config.ts'
import { sidecarHelp } from '../src/sidecar/flags.ts'
import { keepOutOfCore } from './keep-out-of-core.ts'
import { reportError } from './report-error.ts'
import { readBounded } from './sidecar/read-bounded.ts'
import { runSidecar } from './sidecar/run.ts'
import { version } from './version.ts'

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
  const command = await readSidecarCommand(process.argv.slice(2), {
    readText: async (path) => readBounded(path, 'the configuration file').toString('utf8'),
  })
  if (command.kind === 'help') process.stdout.write(sidecarHelp)
  else if (command.kind === 'version') process.stdout.write(`${version}\n`)
  else process.exitCode = await runSidecar(command.config, { signal: stop.signal })
} catch (error) {
  reportError(error)
}
