import { Command } from 'commander'
import type { NodesFlags } from '../../src/admin/keys/nodes.ts'
import { parseOutputFormat } from '../../src/admin/output.ts'
import { processContext } from '../process-context.ts'
import { refuseIdle } from './idle-options.ts'
import { settle, withKeyringPlace } from './options.ts'

/** `latchkey keys nodes …`: the nodes that share a keyring. */
export function nodesCommand(): Command {
  const nodes = withKeyringPlace(new Command('nodes'))
    .description('which nodes share the keyring, and who has loaded what')
    .option('-o, --output <format>', 'table, json or yaml', 'table')
    .action(async (_options, command: Command) => {
      const { keysNodes } = await import('../../src/admin/keys/nodes.ts')
      const flags = await settle<NodesFlags & { output: string }>(command, ['keyring'])
      await keysNodes(processContext(), { ...flags, output: parseOutputFormat(flags.output) })
    })
  // Which keyring it is about are options of "nodes", which may stand behind "remove" too.
  nodes
    .command('remove')
    .description('take a node out that is gone for good: rotations no longer wait for it')
    .argument('<name>', 'the node, as "latchkey keys nodes" names it')
    .option('--yes', 'do not ask', false)
    .configureHelp({ showGlobalOptions: true })
    .action(async (name: string, { yes }: { readonly yes: boolean }) => {
      const { keysNodesRemove } = await import('../../src/admin/keys/nodes.ts')
      const flags = await settle<NodesFlags>(nodes, ['keyring'])
      refuseIdle(nodes, ['output'], {
        because: 'is for the list of the nodes, and "remove" prints none',
        hint: 'leave it out',
      })
      await keysNodesRemove(processContext(), { ...flags, name, yes })
    })
  return nodes
}
