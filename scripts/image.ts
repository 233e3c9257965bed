import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { writeArchive } from './image/archive.ts'
import { makeBase } from './image/base.ts'
import { packLayer } from './image/layer.ts'
import { makePrograms } from './image/programs.ts'
import { defaultName } from './image/settings.ts'

// npm run image -- FILE [--name localhost/latchkey:dev]
//
// The image of the Dockerfile as an OCI archive, made without Docker and without a registry, for
// `ctr images import` and whatever else takes one. The same sources, Node.js and C library make the
// same image, to the byte. What differs from the Dockerfile's: the C library is the one of the
// machine that builds, and the compile cache is left out, as V8 never writes it the same way twice.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string', default: defaultName } },
})
const [file, ...others] = positionals
if (file === undefined || others.length > 0) {
  console.error('error: usage: npm run image -- FILE [--name NAME:TAG]')
  process.exit(2)
}
const project = join(import.meta.dirname, '..')
const scratch = await mkdtemp(join(tmpdir(), 'latchkey-image-'))
try {
  const [base, programs] = [join(scratch, 'base'), join(scratch, 'programs')]
  await makePrograms(programs, { project })
  await makeBase(base, { project, programs })
  // What changes least comes first: a node that has one image has the first layer of the next.
  const layers = [
    await packLayer(base, 'Node.js and the C library'),
    await packLayer(programs, 'Latchkey'),
  ]
  const { digest } = await writeArchive(resolve(file), { name: values.name, layers, scratch })
  console.log(`${values.name} ${digest} in ${file}`)
} finally {
  await rm(scratch, { recursive: true, force: true })
}
