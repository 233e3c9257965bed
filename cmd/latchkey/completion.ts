import { Argument, Command } from 'commander'
import { completionScript, shells, type CommandTree } from '../../src/admin/completion.ts'

/** `latchkey completion SHELL`: prints a completion script for the commands of `program`. */
export function completionCommand(program: () => Command): Command {
  return new Command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(shells))
    .addHelpText('after', '\nExample: source <(latchkey completion bash)')
    .action((shell: string) => {
      process.stdout.write(completionScript(shell, treeOf(program())))
    })
}

function treeOf(command: Command): CommandTree {
  return {
    name: command.name(),
    description: command.description(),
    options: [...command.options.flatMap(({ long }) => long ?? []), '--help'],
    commands: command.commands.map(treeOf),
  }
}
