import { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { exitCodes } from '../../src/base/exit-code.ts'
import { findCluster } from '../cluster.ts'
import { processContext } from '../process-context.ts'
import { readText } from '../read-text.ts'
import { refuseIdle } from './idle-options.ts'

interface Options {
  readonly file?: string
  readonly namespace?: string
  readonly kubeconfig?: string
  readonly output: string
  readonly grants: boolean
}

/** `latchkey explain`: what a declaration comes to. */
export function explainCommand(): Command {
  const explain = new Command('explain').description('say what a declaration comes to, and why')
  explain
    .command('pod')
    .description('what is mounted where, as whom, and whether RBAC allows it; exits with 1 if not')
    .argument('[name]', 'a pod of the cluster, or of the file')
    .option('-f, --file <file>', 'a manifest instead of a pod of the cluster; - for standard input')
    .option('-n, --namespace <namespace>', "default: the kubeconfig's")
    .option('--kubeconfig <file>', 'default: as kubectl finds it')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .option('--grants', 'print only the missing Roles and RoleBindings, to be applied', false)
    .action(async (name: string | undefined, options: Options, command: Command) => {
      if (options.grants) {
        refuseIdle(command, ['output'], {
          because: 'does nothing with --grants, which prints YAML',
          hint: 'leave it out; without --grants, -o json has the grants as well',
        })
      }
      const { explain: run } = await import('../../src/admin/explain/explain.ts')
      const cluster = await findCluster(options.kubeconfig)
      try {
        const possible = await run(
          {
            terminal: processContext().terminal,
            readText,
            cluster: cluster?.client ?? { absent: 'no kubeconfig was found' },
            signal: new AbortController().signal,
          },
          {
            name,
            file: options.file,
            namespace: options.namespace ?? cluster?.namespace ?? 'default',
            output: parseOutputFormat(options.output),
            grants: options.grants,
          },
        )
        if (!possible) process.exitCode = exitCodes.failed
      } finally {
        cluster?.client.close()
      }
    })
  return explain
}
