import type { ExecutionContext, TestFn } from 'ava'
import type { Annex } from '../../src/keyring/annex.ts'

/** Opens a handle on one and the same annex, as another process would; empty at first. */
export type OpenAnnexes = (t: ExecutionContext) => Promise<() => Annex>

/** What every {@link Annex} must do. */
export function annexContract(test: TestFn, title: string, openAnnexes: OpenAnnexes): void {
  test(`${title}: an empty annex lists nothing and removes nothing`, async (t) => {
    const annex = (await openAnnexes(t))()
    t.deepEqual(await annex.list('rotation'), [])
    t.false(await annex.remove('rotation', '1'))
    t.not(annex.location, '')
  })

  test(`${title}: entries are listed by kind, in order of name, for everybody`, async (t) => {
    const open = await openAnnexes(t)
    for (const name of ['0002', '0001', '0010']) {
      t.true(await open().create('rotation', name, { at: name, list: [1, null, 'ü'] }))
    }
    await open().create('rotations', '0003', 'another kind')
    t.deepEqual(
      await open().list('rotation'),
      ['0001', '0002', '0010'].map((name) => ({
        name,
        value: { at: name, list: [1, null, 'ü'] },
      })),
    )
  })

  test(`${title}: of many who make one entry, one does, and it never changes`, async (t) => {
    const open = await openAnnexes(t)
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, index) => open().create('rotation', 'one', index)),
    )
    t.is(made.filter(Boolean).length, 1)
    t.deepEqual(await open().list('rotation'), [{ name: 'one', value: made.indexOf(true) }])
    t.false(await open().create('rotation', 'one', 'again'))
  })

  test(`${title}: a removed entry is gone, and its name free`, async (t) => {
    const open = await openAnnexes(t)
    await open().create('backup', 'one', 1)
    t.true(await open().remove('backup', 'one'))
    t.deepEqual(await open().list('backup'), [])
    t.true(await open().create('backup', 'one', 2))
  })

  test(`${title}: names that could lead elsewhere, and entries too large, are refused`, async (t) => {
    const annex = (await openAnnexes(t))()
    for (const name of ['', '..', 'a/b', 'A', 'a.b', 'x'.repeat(65), 'ü']) {
      await t.throwsAsync(annex.create('rotation', name, 1), { code: 'ERR_USAGE' })
      await t.throwsAsync(annex.list(name), { code: 'ERR_USAGE' })
      await t.throwsAsync(annex.remove(name, 'a'), { code: 'ERR_USAGE' })
      await t.throwsAsync(annex.lock(name, 'me'), { code: 'ERR_USAGE' })
    }
    const large = 'x'.repeat(70_000)
    await t.throwsAsync(annex.create('rotation', 'large', large), { code: 'ERR_USAGE' })
    t.deepEqual(await annex.list('rotation'), [])
  })

  test(`${title}: one holds a lock at a time, and another after its release`, async (t) => {
    const open = await openAnnexes(t)
    const lock = await open().lock('rotation', 'first')
    t.false(lock.lost.aborted)
    await t.throwsAsync(open().lock('rotation', 'second'), { code: 'ERR_BUSY' })
    await (await open().lock('other', 'second')).release()
    await lock.release()
    await (await open().lock('rotation', 'second')).release()
  })
}
