#!/usr/bin/env node
import { readSidecarCommand } from '../src/sidecar/config.ts'
import { sidecarHelp } from '../src/sidecar/flags.ts'
import { runLongRunning } from './long-running.ts'
import { readBounded } from './sidecar/read-bounded.ts'
import { runSidecar } from './sidecar/run.ts'

await runLongRunning({
  help: sidecarHelp,
  read: (args) =>
    readSidecarCommand(args, {
      readText: async (path) => readBounded(path, 'the configuration file').toString('utf8'),
    }),
  serve: runSidecar,
})
