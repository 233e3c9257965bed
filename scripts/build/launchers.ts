import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { oldestNode, type Program } from './programs.ts'

/** Writes `bin/NAME` for each program: the commands that people and units run. */
export async function writeLaunchers(
  programs: readonly Program[],
  options: { readonly out: string },
): Promise<void> {
  const bin = join(options.out, 'bin')
  await mkdir(bin)
  for (const { name } of programs) {
    await writeFile(join(bin, name), launcher(name), { mode: 0o755 })
  }
}

/**
 * A launcher is CommonJS in the syntax of old Node.js, so that an old one can say that it is too
 * old. The compile cache must be on before the bundle is loaded; where the user has none, and may
 * not make one, Node.js goes on without.
 */
function launcher(name: string): string {
  const [major, minor] = oldestNode
  return `#!/usr/bin/env node
'use strict'
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < ${major} || (major === ${major} && minor < ${minor})) {
  console.error('error: ${name} needs Node.js ${major}.${minor} or newer, this is ' + process.version)
  console.error('hint: put a newer node first on PATH')
  process.exit(1)
}
require('node:module').enableCompileCache({
  directory: require('node:path').join(__dirname, '..', 'cache'),
  portable: true,
})
import('../lib/${name}.mjs')
`
}
