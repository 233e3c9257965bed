#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { exitCodes } from '../src/base/exit-code.ts'
import { auditCommand } from './latchkey/audit.ts'
import { backupCommand } from './latchkey/backup.ts'
import { completionCommand } from './latchkey/completion.ts'
import { deliveryCommand } from './latchkey/delivery.ts'
import { devCommand } from './latchkey/dev.ts'
import { doctorCommand } from './latchkey/doctor.ts'
import { enrollCommand } from './latchkey/enroll.ts'
import { etcdCommand } from './latchkey/etcd.ts'
import { addExamples } from './latchkey/examples.ts'
import { explainCommand } from './latchkey/explain.ts'
import { keysCommand } from './latchkey/keys.ts'
import { lintCommand } from './latchkey/lint.ts'
import { commandPath } from './latchkey/options.ts'
import { keepOutOfCore } from './keep-out-of-core.ts'
import { rbacCommand } from './latchkey/rbac.ts'
import { secretCommand } from './latchkey/secret.ts'
import { reportError } from './report-error.ts'
import { statusCommand } from './latchkey/status.ts'
import { version } from './version.ts'

keepOutOfCore()

const program: Command = new Command('latchkey')
  .description('Secrets that stay where they belong: encryption at rest, and secrets as files.')
  .version(version, '-V, --version', 'print the version')
  .helpCommand('help [command]', 'show what a command does')
  .addCommand(devCommand())
  .addCommand(keysCommand())
  .addCommand(backupCommand())
  .addCommand(etcdCommand())
  .addCommand(statusCommand())
  .addCommand(doctorCommand())
  .addCommand(secretCommand())
  .addCommand(lintCommand())
  .addCommand(explainCommand())
  .addCommand(enrollCommand())
  .addCommand(deliveryCommand())
  .addCommand(auditCommand())
  .addCommand(rbacCommand())
  .addCommand(completionCommand(() => program))

/** Commander's own errors (unknown option, missing argument) are thrown, so that exit codes are ours. */
function throwInsteadOfExit(command: Command): void {
  command
    .exitOverride()
    .showHelpAfterError(`hint: see: ${commandPath(command)} --help`)
    .showSuggestionAfterError(true)
  command.commands.forEach(throwInsteadOfExit)
}
throwInsteadOfExit(program)
addExamples(program)

process.stdout.on('error', reportError)
// Who no longer listens to what is said must not stop what is being done, nor make it look undone.
process.stderr.on('error', () => undefined)
try {
  await program.parseAsync(process.argv)
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode && exitCodes.usage
  else reportError(error)
}
