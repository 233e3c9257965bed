import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.ts'
import type { ControlPlanes } from '../support/control-planes.ts'

/** What may be killed, each time another and at another moment. */
export type Victim = 'plugin' | 'API server' | 'etcd member' | 'command'

/** Kills one victim at once, waits a moment, and starts it again; the command is only killed. */
export async function shake(
  cluster: ControlPlanes,
  victim: Victim,
  command: Child,
): Promise<string> {
  const index = randomInt(cluster.nodes.length)
  const node = cluster.nodes[index]
  const member = cluster.etcd.members[index]
  if (node === undefined || member === undefined) throw new RangeError('no such node')
  const pause = async (): Promise<void> => {
    await sleep(randomInt(100, 1500))
  }
  switch (victim) {
    case 'plugin':
      await node.plugin.stop('at once')
      await pause()
      await node.plugin.start()
      return `the plugin of ${node.name}`
    case 'API server':
      await node.server.stop('at once')
      await pause()
      await node.server.start()
      return `the API server of ${node.name}`
    case 'etcd member':
      await member.stop('at once')
      await pause()
      await member.start()
      return member.name
    case 'command':
      await command.kill()
      return 'the command'
  }
}
