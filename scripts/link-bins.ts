import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }

// npm run prepare, which npm ci does by itself: puts our own programs beside those of the packages.
//
// npx finds them there at once. It would find them by package.json too, but through a cache that it
// keeps per folder and does not renew, so that a program added later is "not found".
//
// They run on the Node.js that npm ci brought, also when they are called by their path and the
// machine's own, if there is one, is too old to run TypeScript.

const project = join(import.meta.dirname, '..')
const bin = join(project, 'node_modules', '.bin')
await mkdir(bin, { recursive: true })
for (const [name, source] of Object.entries(manifest.bin)) {
  const launcher = join(bin, name)
  // It may be a link to the source, which writing would follow.
  await rm(launcher, { force: true })
  await writeFile(
    launcher,
    `#!/bin/sh
bin=$(dirname "$(readlink -f "$0")")
exec "$bin/node" "$bin/../../${source}" "$@"
`,
    { mode: 0o755 },
  )
}
