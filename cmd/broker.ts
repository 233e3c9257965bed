#!/usr/bin/env node
import { readBrokerCommand } from '../src/broker/config.ts'
import { brokerHelp } from '../src/broker/flags.ts'
import { serveBroker } from './broker/serve.ts'
import { runLongRunning } from './long-running.ts'
import { readConfig } from './read-config.ts'

await runLongRunning({
  help: brokerHelp,
  read: (args) => readBrokerCommand(args, { readText: readConfig }),
  serve: serveBroker,
})
