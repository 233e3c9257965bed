import { existsSync } from 'node:fs'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = '/sys/fs/cgroup'
const prefix = 'latchkey-cluster-'

/** The control groups of one cluster: all that it has outside its namespaces. */
export interface ControlGroups {
  /** As the kubelet's `cgroupRoot` wants it, e.g. `/latchkey-cluster-4711`. */
  readonly name: string
  /** One in each hierarchy of version 1, or the one of version 2. */
  readonly directories: readonly string[]
}

/** Makes the control groups of the cluster that this process holds. */
export async function makeControlGroups(): Promise<ControlGroups> {
  const name = `${prefix}${process.pid}`
  const hierarchies = await mounted()
  const directories = hierarchies.map((hierarchy) => join(hierarchy, name))
  // It may be there: a run that was killed had this number.
  for (const directory of directories) await mkdir(directory, { recursive: true })
  for (const hierarchy of hierarchies) {
    // A group of this kind is of no use until it is told what it may use.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const from = join(hierarchy, file)
      if (!existsSync(from) || existsSync(join(hierarchy, 'cgroup.controllers'))) continue
      await writeFile(join(hierarchy, name, file), await readFile(from))
    }
  }
  return { name: `/${name}`, directories }
}

/** Control groups of clusters whose process is gone: of a run that was killed together with its cleaner. */
export async function abandonedControlGroups(): Promise<readonly string[]> {
  const found: string[] = []
  for (const hierarchy of await mounted()) {
    for (const entry of await readdir(hierarchy)) {
      const pid = entry.startsWith(prefix) ? entry.slice(prefix.length) : ''
      if (/^\d+$/.test(pid) && !existsSync(`/proc/${pid}`)) found.push(join(hierarchy, entry))
    }
  }
  return found
}

async function mounted(): Promise<readonly string[]> {
  if (existsSync(join(root, 'cgroup.controllers'))) return [root]
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  return [...mounts.matchAll(/^\S+ (\/sys\/fs\/cgroup\/\S+) cgroup2? /gm)].map(
    ([, path = '']) => path,
  )
}
