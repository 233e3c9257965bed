import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { binary } from '../binaries.ts'
import { type Child, startChild, tail } from '../child.ts'
import type { Ground } from '../ground.ts'
import { runOk, runProgram } from '../run-program.ts'
import { GivenUp, until } from '../until.ts'
import { addresses, bridge } from './addresses.ts'
import { testImages } from './images.ts'
import { machinePrograms } from './requirements.ts'

/** containerd, with runc and the CNI plugins of the distribution. */
export interface Containerd {
  readonly socket: string
  /** Brings an OCI archive's images to the node, as `ctr images import` does. */
  importImage(archive: string): Promise<void>
}

const socket = '/run/containerd/containerd.sock'

/** Starts it with its data in `directory`, and resolves when it answers. */
export async function startContainerd(ground: Ground, directory: string): Promise<Containerd> {
  const [program, shim, ctr] = [
    await binary('containerd'),
    await binary('containerd-shim-runc-v2'),
    await binary('ctr'),
  ]
  const config = join(ground.dir, 'containerd.toml')
  const networks = join(ground.dir, 'cni')
  await mkdir(networks)
  await writeFile(join(networks, '10-bridge.conflist'), JSON.stringify(network, undefined, 2))
  await writeFile(config, settings({ directory, networks }))
  const child = startChild(ground, {
    name: 'containerd',
    command: program,
    args: ['--config', config],
    env: { PATH: `${dirname(shim)}:${process.env['PATH'] ?? ''}` },
  })
  const client = (...args: readonly string[]): Parameters<typeof runOk>[1] => ({
    command: ctr,
    args: ['--address', socket, '--namespace', 'k8s.io', ...args],
    timeoutMs: 120_000,
  })
  await answering(child, async () => (await runProgram(ground, client('version'))).code === 0)
  return {
    socket,
    importImage: async (archive) => {
      // Pinned: what the kubelet throws away cannot be pulled again.
      const label = 'io.cri-containerd.pinned=pinned'
      await runOk(ground, client('images', 'import', '--label', label, archive))
    },
  }
}

async function answering(child: Child, answers: () => Promise<boolean>): Promise<void> {
  await until(
    'containerd to answer',
    async () => {
      if (!child.running()) throw new GivenUp(`it ended:\n${tail(child.stderr())}`)
      return await answers()
    },
    { timeoutMs: 60_000, everyMs: 100 },
  )
}

const network = {
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      ...{ type: 'bridge', bridge, isGateway: true, ipMasq: false },
      // A pod that calls a Service may be answered by itself.
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        dataDir: '/run/cni-ipam',
        ranges: [
          [{ subnet: addresses.pods, rangeStart: addresses.firstPod, gateway: addresses.node }],
        ],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
  ],
}

/** The machine may lack CAP_SYS_RESOURCE, without which nothing may get a lower OOM score. */
const settings = (at: { readonly directory: string; readonly networks: string }): string => `
version = 3
root = "${at.directory}"
state = "/run/containerd/state"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.differ.v1.erofs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "${testImages.pause}"
[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["${machinePrograms.cni}"]
    conf_dir = "${at.networks}"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "${machinePrograms.runc}"
        SystemdCgroup = false
`
