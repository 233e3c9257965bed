import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { keysStage } from '../../../src/admin/keys/change.ts'
import { keysInit } from '../../../src/admin/keys/init.ts'
import { keysRewrap } from '../../../src/admin/keys/rewrap.ts'
import type { AdminContext } from '../../../src/admin/context.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { commands, flags } from '../../support/crash/operations.ts'
import { contextIn } from '../../support/crash/place.ts'
import { numbers } from '../../support/crash/seeded-masks.ts'
import { backupIn, stateIn, type State } from '../../support/crash/state.ts'
import { failingDisk, recordedDisk, type DiskCall } from '../../support/hooked-disk.ts'
import { PowerCutDisk, type Choice } from '../../support/power-cut.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

type Command = (context: AdminContext) => Promise<void>

const roots = ['file:root', 'file:deep/new', 'file:newer']

/** What is there when a command has returned, and how many calls were made until then. */
interface Milestone {
  readonly title: string
  readonly calls: number
  readonly keyring: State
  readonly backup: State
}

interface Life {
  readonly cwd: string
  readonly calls: readonly DiskCall[]
  readonly milestones: readonly Milestone[]
}

/** Runs the commands one after the other, and writes down every call that they make on the disk. */
async function record(
  t: ExecutionContext,
  steps: Readonly<Record<string, Command>>,
): Promise<Life> {
  const cwd = await temporaryDirectory(t)
  const { disk, calls } = recordedDisk(systemDisk)
  const look = async (title: string): Promise<Milestone> => ({
    title,
    calls: calls.length,
    keyring: await stateIn({ cwd, roots }),
    backup: await backupIn(cwd),
  })
  const milestones = [await look('nothing')]
  for (const [title, step] of Object.entries(steps)) {
    await step(contextIn(cwd, disk))
    milestones.push(await look(title))
  }
  return { cwd, calls, milestones }
}

/** Ways in which what is undecided may come out: all of them when they are few, else a sample. */
function* choices(undecided: number, seed: number): Generator<Choice> {
  const random = numbers(seed)
  const most = 2 ** Math.min(undecided * 2, 4)
  const masks = undecided === 0 ? [0] : [0, 0xffffffff]
  while (masks.length < most) masks.push(most <= 8 ? masks.length - 1 : random())
  for (const mask of masks) {
    let bits = mask
    const take = (count: number): number => {
      const value = bits & ((1 << count) - 1)
      bits = (bits >>> count) | (bits << (32 - count))
      return value
    }
    yield {
      keep: () => take(1) === 1,
      content: () => (['none', 'half', 'zeros', 'all'] as const)[take(2)] ?? 'none',
    }
  }
}

/** Cuts the power after every call, and tells which outcomes have left neither old nor new. */
async function cutEverywhere(
  t: ExecutionContext,
  life: Life,
): Promise<{ readonly outcomes: number; readonly problems: readonly string[] }> {
  const { cwd, calls, milestones } = life
  const disk = new PowerCutDisk(cwd)
  const place = `${await temporaryDirectory(t)}/after`
  const problems: string[] = []
  let outcomes = 0
  for (let made = 0; made <= calls.length; made += 1) {
    const done = milestones.findLastIndex((milestone) => milestone.calls <= made)
    const reached = milestones[done]
    if (reached === undefined) throw new Error('there is a milestone at the start')
    const next = reached.calls === made ? undefined : milestones[done + 1]
    for (const choice of choices(disk.undecided, made)) {
      await fs.mkdir(place)
      await disk.leave(cwd, place, choice)
      const keyring = await stateIn({ cwd: place, roots })
      const backup = await backupIn(place)
      const allowed = next === undefined ? [reached] : [reached, next]
      const title = `cut after call ${made} (${calls[made - 1]?.name ?? 'none'}) of ${allowed.at(-1)?.title ?? ''}`
      if (!allowed.some((milestone) => same(keyring, milestone.keyring))) {
        problems.push(`${title}: ${JSON.stringify(keyring)}`)
      }
      if (!allowed.some((milestone) => same(backup, milestone.backup))) {
        problems.push(`${title}: backup ${JSON.stringify(backup)}`)
      }
      await fs.rm(place, { recursive: true })
      outcomes += 1
    }
    const call = calls[made]
    if (call !== undefined) disk.apply(call)
  }
  return { outcomes, problems }
}

function same(one: State, other: State): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

test("a power cut at any moment of a keyring's life leaves old or new; what was told done is done", async (t) => {
  const life = await record(t, {
    init: commands.init,
    stage: commands.stage,
    activate: commands.activate,
    retire: commands.retire,
    backup: commands.backup,
    destroy: commands.destroy,
    'a second keyring': (context) =>
      keysInit(context, { keyring: 'other', root: ['file:root'], clusterId: undefined }),
    adopt: commands.adopt,
    'one more root': (context) =>
      keysRewrap(context, { ...flags, newRoot: [], addRoot: ['file:deep/new'] }),
    'a new root': (context) =>
      keysRewrap(context, { ...flags, newRoot: ['file:newer'], addRoot: [] }),
  })
  t.true(
    life.milestones.every(
      ({ title, keyring }) => typeof keyring !== 'string' || title === 'nothing',
    ),
  )
  t.true(life.calls.length > 120, `${life.calls.length} calls`)
  const { outcomes, problems } = await cutEverywhere(t, life)
  t.deepEqual(problems, [])
  t.true(outcomes > 800, `${outcomes} outcomes`)
  t.log(`${outcomes} outcomes of cuts after ${life.calls.length} calls`)
})

const rewrap: Command = (context) =>
  keysRewrap(context, { ...flags, newRoot: ['file:deep/new'], addRoot: [] })

for (const { title, prepare, command, root } of [
  { title: 'init', prepare: undefined, command: commands.init, root: 'file:root' },
  { title: 'rewrap', prepare: commands.init, command: rewrap, root: 'file:deep/new' },
]) {
  test(`${title}: killed and repeated, what it reports as done survives a power cut`, async (t) => {
    const stage: Command = (context) => keysStage(context, { ...flags, root: [root] })
    let died = true
    for (let killed = 0; died; killed += 1) {
      const cwd = await temporaryDirectory(t)
      const { disk, calls } = recordedDisk(systemDisk)
      await prepare?.(contextIn(cwd, disk))
      const before = await stateIn({ cwd, roots })
      // To the disk a process that was killed is one whose every further call has failed.
      const dying = failingDisk(disk, { code: 'EIO', fails: (_, index) => index >= killed })
      died = false
      await command(contextIn(cwd, dying)).catch(() => (died = true))
      const isNew = !same(await stateIn({ cwd, roots }), before)
      await (isNew ? stage : command)(contextIn(cwd, disk))
      const done = await stateIn({ cwd, roots })
      const cut = new PowerCutDisk(cwd)
      for (const call of calls) cut.apply(call)
      const place = `${await temporaryDirectory(t)}/after`
      for (const choice of choices(cut.undecided, killed)) {
        await fs.mkdir(place)
        await cut.leave(cwd, place, choice)
        t.deepEqual(await stateIn({ cwd: place, roots }), done, `killed at call ${killed}`)
        await fs.rm(place, { recursive: true })
      }
    }
  })
}

test('the model loses what was not synced, so that a missing sync would be seen', async (t) => {
  const life = await record(t, { init: commands.init, stage: commands.stage })
  for (const forgotten of ['sync', 'syncDirectory'] as const) {
    const calls = life.calls.filter(({ name }) => name !== forgotten)
    const milestones = life.milestones.map((milestone) => ({
      ...milestone,
      calls: life.calls.slice(0, milestone.calls).filter(({ name }) => name !== forgotten).length,
    }))
    const { problems } = await cutEverywhere(t, { ...life, calls, milestones })
    t.true(problems.length > 0, `without ${forgotten}`)
  }
})
