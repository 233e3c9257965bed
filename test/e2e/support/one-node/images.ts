import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeArchive } from '../../../../scripts/image/archive.ts'
import { packLayer } from '../../../../scripts/image/layer.ts'
import { machinePrograms } from './requirements.ts'

/** Images that pods of tests are made of; each is Debian's static BusyBox and nothing else. */
export const testImages = {
  /** What holds a pod's namespaces. */
  pause: 'localhost/pause:1',
  /** Runs as root unless the pod says otherwise. */
  app: 'localhost/app:1',
  /** Has `USER 1234:1234`, as a Dockerfile would. */
  appWithUser: 'localhost/app-with-user:1',
} as const

const commands = [
  ...['sh', 'cat', 'ls', 'stat', 'sleep', 'id', 'touch', 'find', 'grep', 'wget', 'nc', 'kill'],
  ...[
    'echo',
    'date',
    'env',
    'mount',
    'ps',
    'readlink',
    'rm',
    'head',
    'test',
    'true',
    'tr',
    'mkdir',
  ],
]

/** Writes the archives into `directory` and resolves with their paths. */
export async function writeTestImages(directory: string): Promise<readonly string[]> {
  const root = join(directory, 'root')
  const bin = join(root, 'bin')
  for (const path of [bin, join(root, 'etc'), join(root, 'tmp')])
    await mkdir(path, { recursive: true })
  await copyFile(machinePrograms.busybox, join(bin, 'busybox'))
  for (const command of commands) await symlink('busybox', join(bin, command))
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n')
  // A program's own settings, that a mount over the directory would hide.
  await mkdir(join(root, 'etc/app'))
  await writeFile(join(root, 'etc/app/built-in.conf'), 'part of the image\n')
  await chmod(join(root, 'tmp'), 0o1777)
  const layers = [await packLayer(root, 'BusyBox')]

  const forever = ['/bin/sleep', '2147483647']
  const archives: string[] = []
  for (const [what, name] of Object.entries(testImages)) {
    const file = join(directory, `${what}.tar`)
    const scratch = join(directory, what)
    await mkdir(scratch)
    await writeArchive(file, {
      name,
      layers,
      scratch,
      settings: {
        User: what === 'appWithUser' ? '1234:1234' : '',
        Env: ['PATH=/bin'],
        Cmd: forever,
        WorkingDir: '/',
      },
    })
    archives.push(file)
  }
  return archives
}
