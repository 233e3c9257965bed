import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** A process of a container, by the control group that it is in. `containerId` as `containerd://…`. */
export async function processOf(containerId = ''): Promise<number> {
  const id = containerId.replace('containerd://', '')
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const groups = await readFile(`/proc/${entry}/cgroup`, 'utf8').catch(() => '')
    if (id !== '' && groups.includes(id)) return Number(entry)
  }
  throw new Error(`no process of container ${id}`)
}

/** Bytes of memory that are charged to a container: all, and those that no file is behind. */
export async function memoryOf(
  containerId: string,
): Promise<{ readonly charged: number; readonly anonymous: number }> {
  const groups = await readFile(`/proc/${await processOf(containerId)}/cgroup`, 'utf8')
  const one = /^\d+:memory:(.*)$/m.exec(groups)?.[1]
  const directory =
    one === undefined
      ? join('/sys/fs/cgroup', /^0::(.*)$/m.exec(groups)?.[1] ?? '')
      : join('/sys/fs/cgroup/memory', one)
  const file = ['memory.usage_in_bytes', 'memory.current']
    .map((name) => join(directory, name))
    .find(existsSync)
  if (file === undefined) throw new Error(`${directory} counts no memory`)
  const stat = await readFile(join(directory, 'memory.stat'), 'utf8')
  return {
    charged: Number(await readFile(file, 'utf8')),
    anonymous: Number(/^(?:total_rss|anon) (\d+)$/m.exec(stat)?.[1]),
  }
}
