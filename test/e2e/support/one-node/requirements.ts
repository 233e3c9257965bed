import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Programs of the machine that a node needs, and the Debian packages that have them. */
export const machinePrograms = {
  runc: '/usr/sbin/runc',
  busybox: '/bin/busybox',
  cni: '/usr/lib/cni',
} as const

const files: Readonly<Record<string, string>> = {
  [machinePrograms.runc]: 'runc',
  [machinePrograms.busybox]: 'busybox-static',
  [join(machinePrograms.cni, 'bridge')]: 'containernetworking-plugins',
  [join(machinePrograms.cni, 'host-local')]: 'containernetworking-plugins',
  [join(machinePrograms.cni, 'loopback')]: 'containernetworking-plugins',
  '/usr/sbin/iptables': 'iptables',
  '/usr/bin/unshare': 'util-linux',
}

/** Why this machine cannot run a one-node cluster; `undefined` when it can. */
export async function missing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'it needs Linux'
  if (process.getuid?.() !== 0) return 'you are not root'
  for (const [path, name] of Object.entries(files)) {
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (!usable) return `there is no ${path} (Debian package ${name})`
  }
  // What a container may not do, and a kernel may not have.
  const probe =
    'ip link add br0 type bridge && test -e /proc/sys/net/bridge/bridge-nf-call-iptables && mount -t tmpfs tmpfs /mnt'
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--mount-proc']
  try {
    await promisify(execFile)('unshare', [...namespaces, 'sh', '-c', probe])
    return undefined
  } catch {
    return 'it allows no namespaces, bridges or mounts (kernel modules bridge and br_netfilter?)'
  }
}
