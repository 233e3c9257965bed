import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle } from './build/bundle.ts'
import { writeLaunchers } from './build/launchers.ts'
import { collectLicenses } from './build/licenses.ts'
import { findPrograms, oldestNode, version } from './build/programs.ts'
import { packTarball } from './build/tarball.ts'
import { warmCache } from './build/warm.ts'

// npm run build [-- --out DIR] [--tarball FILE.tar.gz] [--cache-uid UID]... [--no-compile-cache]
//
// A release, which needs nothing but Node.js and may be moved anywhere:
//
//   bin/      the commands
//   lib/      a bundle for each
//   proto/    the interfaces, which the bundles read
//   deploy/   units, manifests and the guide
//   cache/    what V8 compiled, so that programs start faster

const { values } = parseArgs({
  allowNegative: true,
  options: {
    'compile-cache': { type: 'boolean', default: true },
    out: { type: 'string', default: 'dist' },
    tarball: { type: 'string' },
    'cache-uid': { type: 'string', multiple: true, default: [] },
  },
})
const project = join(import.meta.dirname, '..')
const out = resolve(values.out)

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
const programs = await findPrograms(project)
const metafile = await bundle(programs, { project, out })
await writeLaunchers(programs, { out })
for (const item of ['proto', 'deploy', 'LICENSE', 'README.md', 'SECURITY.md', 'CHANGELOG.md']) {
  await cp(join(project, item), join(out, item), { recursive: true })
}
await writeFile(join(out, 'THIRD_PARTY_LICENSES'), await collectLicenses(metafile, project))
await writeFile(
  join(out, 'package.json'),
  `${JSON.stringify({ name: 'latchkey', version, private: true, engines: { node: `>=${oldestNode.join('.')}` } }, null, 2)}\n`,
)
if (values['compile-cache']) {
  await warmCache(programs, { out, cacheUids: values['cache-uid'].map(Number) })
}
if (values.tarball !== undefined) await packTarball(out, resolve(values.tarball))
console.log(`${programs.map(({ name }) => name).join(', ')} ${version} in ${out}`)
