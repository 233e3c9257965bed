import { join } from 'node:path'
import type { Ground } from './ground.ts'
import { runOk } from './run-program.ts'

const project = join(import.meta.dirname, '..', '..', '..')

/** One of our programs as it runs in a checkout, or as `npm run build` makes it for a release. */
export type Origin = 'checkout' | 'release'

const names = { latchkey: 'latchkey', kms: 'latchkey-kms' } as const

/** Path of one of our programs in the checkout. */
export function command(name: keyof typeof names): string {
  return join(project, 'cmd', `${name}.ts`)
}

/** Command and first argument that start the program `name`. */
export async function ourProgram(
  ground: Ground,
  name: keyof typeof names,
  origin: Origin = 'checkout',
): Promise<{ readonly command: string; readonly script: string }> {
  const script =
    origin === 'checkout' ? command(name) : join(await releaseDirectory(ground), 'bin', names[name])
  return { command: process.execPath, script }
}

/** The release that the runner made, or, when a test file is run by itself, one made now. */
async function releaseDirectory(ground: Ground): Promise<string> {
  const made = process.env['LATCHKEY_E2E_RELEASE'] ?? ''
  if (made !== '') return made
  // Several programs of a file start at once and share what is made.
  const release = releases.get(ground.dir) ?? buildRelease(ground)
  releases.set(ground.dir, release)
  return await release
}

const releases = new Map<string, Promise<string>>()

async function buildRelease(ground: Ground): Promise<string> {
  const out = join(ground.dir, 'release')
  await runOk(ground, {
    command: process.execPath,
    args: [join(project, 'scripts', 'build.ts'), '--out', out],
    timeoutMs: 120_000,
  })
  return out
}
