import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import manifest from '../../../package.json' with { type: 'json' }
import type { Ground } from './ground.ts'

/** Builds the release and resolves with the path of its tarball, named as the guide names it. */
export async function buildRelease(ground: Ground): Promise<string> {
  const project = join(import.meta.dirname, '..', '..', '..')
  const tarball = join(ground.dir, `latchkey-${manifest.version}.tar.gz`)
  const out = join(ground.dir, 'dist')
  await promisify(execFile)(
    process.execPath,
    ['scripts/build.ts', '--out', out, '--tarball', tarball],
    { cwd: project },
  )
  return tarball
}
