#!/usr/bin/env node
import { readWebhookCommand, webhookHelp } from '../src/webhook/config.ts'
import { keepOutOfCore } from './keep-out-of-core.ts'
import { readText } from './read-text.ts'
import { reportError } from './report-error.ts'
import { version } from './version.ts'
import { ownNamespace, serveWebhook } from './webhook/serve.ts'

keepOutOfCore()
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
  const command = await readWebhookCommand(process.argv.slice(2), { readText, ownNamespace })
  if (command.kind === 'help') process.stdout.write(webhookHelp)
  else if (command.kind === 'version') process.stdout.write(`${version}\n`)
  else await serveWebhook(command.config, { signal: stop.signal })
} catch (error) {
  reportError(error)
}
