import { join } from 'node:path'
import { binary } from './binaries.ts'
import type { Etcd } from './etcd.ts'
import type { Ground } from './ground.ts'
import { runOk } from './run-program.ts'

/** Runs the real etcdctl against the first member and resolves with its stdout. */
export async function etcdctl(
  ground: Ground,
  etcd: Etcd,
  args: readonly string[],
  options: { readonly stdin?: string } = {},
): Promise<string> {
  const { ca, cert, key } = etcd.clientFiles
  return await runOk(ground, {
    command: await binary('etcdctl'),
    args: [
      ...[`--endpoints=${etcd.endpoints[0] ?? ''}`, `--cacert=${ca}`],
      ...[`--cert=${cert}`, `--key=${key}`, ...args],
    ],
    ...options,
  })
}

/** `etcdctl snapshot save` to a file of the ground; its path. */
export async function saveSnapshot(ground: Ground, etcd: Etcd, name: string): Promise<string> {
  const path = join(ground.dir, name)
  await etcdctl(ground, etcd, ['snapshot', 'save', path])
  return path
}
