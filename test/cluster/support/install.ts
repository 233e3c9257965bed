import { mkdir, readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fencedBlocks } from '../../support/markdown.ts'
import { binary } from '../../e2e/support/binaries.ts'
import type { Ground } from '../../e2e/support/ground.ts'
import { runOk } from '../../e2e/support/run-program.ts'

const project = join(import.meta.dirname, '..', '..', '..')
const checkout = ['package.json', 'deploy', 'cmd', 'src', 'scripts', 'proto', 'node_modules']

/**
 * Installs Latchkey by running the commands of deploy/cluster/README.md as they stand there, one
 * block after the other, in what looks like a checkout, and then takes its example away again.
 */
export async function installAsWritten(
  ground: Ground,
  options: { readonly directory: string; readonly kubeconfig: string },
): Promise<void> {
  const place = join(ground.dir, 'checkout')
  await mkdir(place)
  for (const name of checkout) await symlink(join(project, name), join(place, name))
  const programs = [await binary('kubectl'), await binary('ctr')].map(dirname)
  const guide = await readFile(join(project, 'deploy/cluster/README.md'), 'utf8')
  const blocks = fencedBlocks(guide).filter(({ language }) => language === 'sh')
  if (blocks.length < 5) throw new Error('deploy/cluster/README.md has no commands')
  for (const { text } of blocks) {
    const printed = await runOk(ground, {
      command: 'bash',
      args: ['--norc', '-euo', 'pipefail', '-c', `cd '${place}'\n${text}`],
      env: {
        KUBECONFIG: options.kubeconfig,
        PATH: [...programs, process.env['PATH'] ?? ''].join(':'),
        CONTAINERD_ADDRESS: '/run/containerd/containerd.sock',
      },
      timeoutMs: 900_000,
    })
    if (text.includes('cat /etc/secrets/password') && !printed.endsWith('\nfirst-password')) {
      throw new Error(`the guide's example printed:\n${printed}`)
    }
    if (text.includes('delivery status') && !/^web-\S+ +current$/m.test(printed)) {
      throw new Error(`the guide's delivery status printed:\n${printed}`)
    }
  }
  await runOk(ground, {
    command: await binary('kubectl'),
    args: ['--kubeconfig', options.kubeconfig, 'delete', 'namespace', 'shop'],
    timeoutMs: 300_000,
  })
}
