import { Command } from 'commander'
import { parseOutputFormat } from '../../src/admin/output.ts'
import type { ServiceAccount } from '../../src/admin/rbac/act.ts'
import { LatchkeyError } from '../../src/base/errors.ts'
import { isNamespaceName, isSecretName } from '../../src/secrets/reference.ts'
import { findCluster } from '../cluster.ts'
import { processContext } from '../process-context.ts'
import { refuseIdle } from './idle-options.ts'
import { repeatable } from './options.ts'

interface Options {
  readonly apiAudit: readonly string[]
  readonly audit: readonly string[]
  readonly namespace?: string
  readonly account: readonly string[]
  readonly system: string
  readonly denied: boolean
  readonly kubeconfig?: string
  readonly output: string
}

/** `latchkey rbac …`: what grants the work needs. */
export function rbacCommand(): Command {
  const rbac = new Command('rbac').description('the grants that delivery needs')
  rbac
    .command('suggest')
    .description('the least Roles that would allow what audit logs show, and grants nobody used')
    .addOption(
      repeatable('--api-audit <file>', "a kube-apiserver's audit log; - for standard input"),
    )
    .addOption(repeatable('--audit <file>', "a broker's audit file; - for standard input"))
    .option('-n, --namespace <namespace>', 'only what happened in this namespace')
    .addOption(
      repeatable(
        '--account <namespace/name>',
        'with --api-audit: what this service account did at the API server too, besides broker and webhook',
      ),
    )
    .option(
      '--system <namespace>',
      'with --api-audit: where broker and webhook run',
      'latchkey-system',
    )
    .option('--denied', 'suggest grants also for what was denied', false)
    .option('--kubeconfig <file>', 'compare with the grants of this cluster')
    .option('-o, --output <format>', 'yaml (to be applied), json or table', 'yaml')
    .addHelpText(
      'after',
      `
Logs are read as they are: "latchkey audit verify" says whether a broker's is what was written.

  latchkey rbac suggest --audit broker.jsonl | kubectl apply -f -
  latchkey rbac suggest --audit broker.jsonl --kubeconfig ~/.kube/config -o table`,
    )
    .action(async (options: Options, command: Command) => {
      if (options.apiAudit.length === 0) {
        refuseIdle(command, ['account', 'system'], {
          because: 'does nothing without --api-audit: the audit of a broker has pods alone',
          hint: "name the kube-apiserver's audit log with --api-audit, or leave it out",
        })
      }
      const { suggest } = await import('../../src/admin/rbac/suggest.ts')
      const { kubeconfig } = options
      const cluster = kubeconfig === undefined ? undefined : await findCluster(kubeconfig)
      const { terminal, cwd } = processContext()
      try {
        await suggest(
          {
            terminal,
            cwd,
            stdin: () => process.stdin,
            cluster: cluster?.client,
            signal: new AbortController().signal,
          },
          {
            apiAudit: options.apiAudit,
            audit: options.audit,
            namespace: options.namespace,
            account: options.account.map(readAccount),
            system: options.system,
            denied: options.denied,
            output: parseOutputFormat(options.output),
          },
        )
      } finally {
        cluster?.client.close()
      }
    })
  return rbac
}

function readAccount(text: string): ServiceAccount {
  const [namespace = '', name = '', ...rest] = text.split('/')
  if (rest.length === 0 && isNamespaceName(namespace) && isSecretName(name)) {
    return { namespace, name }
  }
  throw new LatchkeyError('ERR_USAGE', '--account is not NAMESPACE/NAME')
}
