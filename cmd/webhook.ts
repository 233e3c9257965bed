#!/usr/bin/env node
import { readWebhookCommand, webhookHelp } from '../src/webhook/config.ts'
import { runLongRunning } from './long-running.ts'
import { readText } from './read-text.ts'
import { ownNamespace, serveWebhook } from './webhook/serve.ts'

await runLongRunning({
  help: webhookHelp,
  read: (args) => readWebhookCommand(args, { readText, ownNamespace }),
  serve: serveWebhook,
})
