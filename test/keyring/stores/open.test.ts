import test from 'ava'
import { createRandomPool } from '../../../src/base/random.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { openStore } from '../../../src/keyring/stores/open.ts'

const deps = { disk: systemDisk, random: createRandomPool(), uid: 0, cwd: '/somewhere' }

for (const [name, location] of [
  ['keyring', '/somewhere/keyring'],
  ['./keyring/', '/somewhere/keyring'],
  ['../keyring', '/keyring'],
  ['/var/lib/keyring', '/var/lib/keyring'],
  ['a:b', '/somewhere/a:b'],
] as const) {
  test(`${name} is the directory ${location}`, async (t) => {
    t.is((await openStore(name, deps)).location, location)
  })
}

for (const name of ['', 'etcd://host:2379/keyring', 'file:///var/lib/keyring', 'a\0b']) {
  test(`${JSON.stringify(name)} is no directory`, async (t) => {
    await t.throwsAsync(openStore(name, deps), { code: 'ERR_USAGE' })
  })
}
