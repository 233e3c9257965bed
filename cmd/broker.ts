#!/usr/bin/env node
import { readBrokerCommand } from '../src/broker/config.ts'
import { brokerHelp } from '../src/broker/flags.ts'
import { readConfig, serveBroker } from './broker/serve.ts'
import { keepOutOfCore } from './keep-out-of-core.ts'
import { reportError } from './report-error.ts'
import { version } from './version.ts'

keepOutOfCore()
process.umask(0o077)

const stop = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    // Asked twice, it does not wait for its clients.
    if (stop.signal.aborted) process.exit(1)
    stop.abort()
  })
}

try {
  const command = await readBrokerCommand(process.argv.slice(2), { readText: readConfig })
  if (command.kind === 'help') process.stdout.write(brokerHelp)
  else if (command.kind === 'version') process.stdout.write(`${version}\n`)
  else await serveBroker(command.config, { signal: stop.signal })
} catch (error) {
  reportError(error)
}
