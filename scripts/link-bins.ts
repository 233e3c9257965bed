import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }

// npm run prepare, which npm ci does by itself: puts our own programs beside those of the packages.
//
// npx finds them there at once. It would find them by package.json too, but through a cache that it
// keeps per folder and does not renew, so that a program added later is "not found".

const project = join(import.meta.dirname, '..')
const bin = join(project, 'node_modules', '.bin')
await mkdir(bin, { recursive: true })
for (const [name, source] of Object.entries(manifest.bin)) {
  const link = join(bin, name)
  await rm(link, { force: true })
  await symlink(join('..', '..', source), link)
}
