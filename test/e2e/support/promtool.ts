import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { access, constants, mkdir, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDirectory } from './go-build.ts'

const run = promisify(execFile)

/**
 * Path of Prometheus' own checker of rules: the one on `PATH`, or else taken out of Debian's package
 * and kept beside the tools built with Go (building it takes the clients of every cloud along).
 * Nothing is installed, so that no server is started. `undefined` where there is neither.
 */
export async function findPromtool(): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, 'promtool')
    if (await isExecutable(path)) return path
  }
  const entry = join(cacheDirectory(), 'promtool-debian')
  const path = join(entry, 'usr', 'bin', 'promtool')
  if (await isExecutable(path)) return path
  const fetching = join(cacheDirectory(), `.fetching-${randomUUID()}`)
  await mkdir(fetching, { recursive: true })
  try {
    await run('apt-get', ['download', '-q', 'prometheus'], { cwd: fetching }).catch(async () => {
      // A fresh machine has no package lists.
      await run('apt-get', ['update', '-q'])
      await run('apt-get', ['download', '-q', 'prometheus'], { cwd: fetching })
    })
    const script =
      'dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm *.deb'
    await run('bash', ['-o', 'pipefail', '-c', script], { cwd: fetching })
    await rename(fetching, entry).catch(() => undefined) // another run was first
  } catch {
    return undefined
  } finally {
    await rm(fetching, { recursive: true, force: true })
  }
  return (await isExecutable(path)) ? path : undefined
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
