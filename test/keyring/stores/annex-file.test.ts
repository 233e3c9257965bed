import test from 'ava'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import type { Annex } from '../../../src/keyring/annex.ts'
import { fileAnnex } from '../../../src/keyring/stores/annex-file.ts'
import { annexContract } from '../../contract/annex.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const deps = { disk: systemDisk, random: createRandomPool(), uid: process.getuid?.() ?? 0 }
const open = (directory: string): Annex => fileAnnex(directory, deps)

annexContract(test, 'file', async (t) => {
  const directory = await temporaryDirectory(t)
  return () => open(directory)
})

test('what others may write is refused, and what is damaged is named', async (t) => {
  const directory = await temporaryDirectory(t)
  await open(directory).create('rotation', 'one', 1)
  await chmod(join(directory, 'annex', 'rotation.one'), 0o666)
  await t.throwsAsync(open(directory).list('rotation'), { code: 'ERR_KEYRING_UNSAFE' })
  await writeFile(join(directory, 'annex', 'backup.one'), '{"torn', { mode: 0o600 })
  await t.throwsAsync(open(directory).list('backup'), { code: 'ERR_IO', message: /backup\.one/ })
  await chmod(join(directory, 'annex'), 0o777)
  await t.throwsAsync(open(directory).create('rotation', 'two', 1), { code: 'ERR_KEYRING_UNSAFE' })
})

test('an interrupted creation leaves no entry', async (t) => {
  const directory = await temporaryDirectory(t)
  const failing = { ...systemDisk, link: async () => Promise.reject(new Error('cut')) }
  await mkdir(join(directory, 'annex'), { mode: 0o700 })
  const annex = fileAnnex(directory, { ...deps, disk: failing })
  await t.throwsAsync(annex.create('rotation', 'one', 1), { code: 'ERR_IO' })
  t.deepEqual(await open(directory).list('rotation'), [])
  t.deepEqual(await readdir(join(directory, 'annex')), [])
})
