/** Writes test/vectors/keyring/ anew; the files change only when a format did. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeVectors, printVectors } from '../test/support/keyring-vectors/make.ts'

const directory = join(import.meta.dirname, '../test/vectors/keyring')
await mkdir(directory, { recursive: true })
for (const [name, value] of Object.entries(await makeVectors())) {
  await writeFile(join(directory, name), printVectors(value))
  console.log(`test/vectors/keyring/${name}`)
}
