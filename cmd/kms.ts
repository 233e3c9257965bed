#!/usr/bin/env node
import { readKmsCommand, kmsHelp } from '../src/kms/config.ts'
import { serveKms } from './kms/serve.ts'
import { runLongRunning } from './long-running.ts'
import { readConfig } from './read-config.ts'

await runLongRunning({
  help: kmsHelp,
  read: (args) => readKmsCommand(args, { readText: readConfig }),
  serve: serveKms,
})
