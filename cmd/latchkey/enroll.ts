import { Command } from 'commander'
import { LatchkeyError } from '../../src/base/errors.ts'
import { findCluster } from '../cluster.ts'
import { processContext } from '../process-context.ts'

interface Options {
  readonly kubeconfig?: string
  readonly system: string
  readonly remove: boolean
}

/** `latchkey enroll`: one namespace more that the broker serves. */
export function enrollCommand(): Command {
  return new Command('enroll')
    .description('let the broker read the Secrets of a namespace')
    .argument('<namespace>', 'the namespace')
    .option('--kubeconfig <file>', 'default: as kubectl finds it')
    .option('--system <namespace>', 'where the broker runs', 'latchkey-system')
    .option('--remove', 'take the right away again', false)
    .action(async (namespace: string, options: Options) => {
      const { enroll } = await import('../../src/admin/enroll.ts')
      const cluster = await findCluster(options.kubeconfig)
      if (cluster === undefined) {
        throw new LatchkeyError('ERR_KUBERNETES_CONFIG', 'no kubeconfig was found', {
          hint: 'name one with --kubeconfig',
        })
      }
      const { terminal } = processContext()
      const { client } = cluster
      const { signal } = new AbortController()
      try {
        const { system, remove } = options
        await enroll({ terminal, client, signal }, { namespace, system, remove })
      } finally {
        client.close()
      }
    })
}
