import test from 'ava'
import * as fs from 'node:fs/promises'
import { systemClock } from '../../../src/base/clock.ts'
import { fileSource } from '../../../src/secrets/sources/file.ts'
import { testSecretSource } from '../../contract/secret-source.ts'
import { contentOf, temporaryStore } from '../../support/secret-store.ts'

testSecretSource(test, async (t) => {
  const { store, directory } = await temporaryStore(t)
  const source = fileSource(store, {
    clock: systemClock,
    onProblem: () => undefined,
    recheckMs: 200,
  })
  t.teardown(() => source.close())
  const writer = await temporaryStore(t, directory)
  return {
    source,
    patienceMs: 30_000,
    put: (target, values) => writer.store.update(target, () => contentOf(values)),
    remove: (target) => writer.store.update(target, () => undefined),
    // A secret store whose files somebody made readable for all is refused until that is mended.
    breakOff: async () => {
      await chmodEntries(directory, 0o644)
    },
    mend: async () => {
      await chmodEntries(directory, 0o600)
    },
  }
})

async function chmodEntries(directory: string, mode: number): Promise<void> {
  for await (const path of fs.glob(`${directory}/*/*/*`)) await fs.chmod(path, mode)
}
