import type { ApiServer } from './api-server.ts'
import { binary } from './binaries.ts'
import { type Child, startChild } from './child.ts'
import type { Ground } from './ground.ts'

/** Starts a real kube-controller-manager with the controllers named, and no others. */
export async function startControllerManager(
  ground: Ground,
  server: Pick<ApiServer, 'kubeconfig'>,
  controllers: readonly string[],
): Promise<Child> {
  return startChild(ground, {
    name: 'kube-controller-manager',
    command: await binary('kube-controller-manager'),
    args: [
      `--kubeconfig=${server.kubeconfig}`,
      `--controllers=${controllers.join(',')}`,
      `--bind-address=${ground.host(201)}`,
      ...['--secure-port=10257', '--leader-elect=false', '--v=1'],
    ],
  })
}
