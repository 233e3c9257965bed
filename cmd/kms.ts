#!/usr/bin/env node
import { readKmsCommand, kmsHelp } from '../src/kms/config.ts'
import { keepOutOfCore } from './keep-out-of-core.ts'
import { readConfig, serveKms } from './kms/serve.ts'
import { reportError } from './report-error.ts'
import { version } from './version.ts'

keepOutOfCore()
// Nothing that this process makes is for others; the socket's own mode is set when it is made.
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
  const command = await readKmsCommand(process.argv.slice(2), { readText: readConfig })
  if (command.kind === 'help') process.stdout.write(kmsHelp)
  else if (command.kind === 'version') process.stdout.write(`${version}\n`)
  else await serveKms(command.config, { signal: stop.signal })
} catch (error) {
  reportError(error)
}
