import test from 'ava'
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseAuditLimit, rotateByRename } from '../../src/observe/audit-rotation.ts'
import { until } from '../e2e/support/until.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { auditReportOf, event, openTestLog, soon } from '../support/audit-log.ts'

const sizeOf = async (path: string): Promise<number> => (await fs.stat(path)).size

test('a limit is an amount of ten mebibytes or more', (t) => {
  t.is(parseAuditLimit('900Mi', 'f'), 900 * 2 ** 20)
  t.is(parseAuditLimit('10Mi', 'f'), 10 * 2 ** 20)
  t.is(parseAuditLimit(undefined, undefined), undefined)
  t.throws(() => parseAuditLimit('900Mi', undefined), { code: 'ERR_CONFIG_INVALID' })
  for (const text of ['', '9Mi', '900', '900 Mi', '900MiB', '-1Gi', 'much']) {
    t.throws(() => parseAuditLimit(text, 'f'), { code: 'ERR_CONFIG_INVALID' }, text)
  }
})

test('a file that is full makes place, the oldest of ten goes, and the chain goes on', async (t) => {
  const limit = 40_000
  const problems: unknown[] = []
  const { log, path } = await openTestLog(t, {
    rotation: (file) => rotateByRename(file, limit, (error) => problems.push(error)),
  })
  const first = await fs.readFile(path, 'utf8')
  for (let wave = 0; wave < 14; wave += 1) {
    const { ino } = await fs.stat(path)
    // The next look, a moment later, moves it; it may do so before its size was asked for.
    const isFull = (): Promise<boolean> =>
      sizeOf(path).then(
        (size) => size >= limit / 10,
        () => true,
      )
    while (!(await isFull())) await log.admit(event)
    const isMoved = async (): Promise<boolean> => {
      const now = await fs.stat(path).catch(() => undefined)
      return now !== undefined && now.ino !== ino
    }
    await until('the file is moved', isMoved, soon)
  }
  await log.admit(event)
  await log.close()
  const names = (await fs.readdir(dirname(path))).sort()
  const older = Array.from({ length: 9 }, (_, age) => `audit.jsonl.${age + 1}`)
  t.deepEqual(names, ['audit.jsonl', ...older])
  const files = [...older.map((name) => `${dirname(path)}/${name}`).reverse(), path]
  let bytes = 0
  for (const file of files) bytes += await sizeOf(file)
  t.true(bytes < limit + 10_000, `${bytes}`)
  const report = await auditReportOf(files)
  t.deepEqual(report.problems, [])
  t.is(report.chains.length, 1)
  t.true((report.chains[0]?.firstSeq ?? 0) > 0)
  t.is(report.chains[0]?.ended, true)
  t.false((await fs.readFile(files[0] ?? '', 'utf8')).startsWith(first))
  t.deepEqual(problems, [])
})

test('stopped between two renames, a number is missing and nothing else', async (t) => {
  const { log, path } = await openTestLog(t)
  await log.close()
  await fs.writeFile(`${path}.1`, 'one')
  await fs.writeFile(`${path}.3`, 'three')
  await rotateByRename(path, 1, () => undefined).rotate()
  const names = (await fs.readdir(dirname(path))).sort()
  t.deepEqual(names, ['audit.jsonl.1', 'audit.jsonl.2', 'audit.jsonl.4'])
  t.is(await fs.readFile(`${path}.2`, 'utf8'), 'one')
})

test('a file that cannot be moved is written on, and that is told of once in a while', async (t) => {
  const problems: unknown[] = []
  const clock = new ManualClock()
  const { log, health, path } = await openTestLog(t, {
    clock,
    limits: { stalledMs: 60_000 },
    rotation: () => ({
      fileBytes: 1,
      rotate: () => Promise.reject(Object.assign(new Error('read-only'), { code: 'EROFS' })),
      onProblem: (error) => problems.push(error),
    }),
  })
  const told = (times: number) => (): Promise<boolean> =>
    clock.advance(5).then(() => problems.length === times)
  await until('it is told', told(1), soon)
  for (let count = 0; count < 20; count += 1) {
    await log.admit(event)
    await clock.advance(400)
  }
  t.is(problems.length, 1)
  await clock.advance(2_000)
  await until('it is told again', told(2), soon)
  await log.close()
  t.is(problems.length, 2)
  t.deepEqual(health, [])
  t.deepEqual((await auditReportOf([path])).problems, [])
})

test('a file whose name another one has by now is not moved', async (t) => {
  let rotations = 0
  let opened = 0
  const { log, path } = await openTestLog(t, {
    // The first has its full size, and is not what the path names any more.
    wrap: (file) => {
      opened += 1
      const renamed = opened === 1
      return {
        end: file.end,
        damaged: false,
        size: renamed ? 2_000 : 0,
        append: (bytes) => file.append(bytes),
        sync: () => file.sync(),
        current: () => (renamed ? Promise.resolve(false) : file.current()),
        close: () => file.close(),
      }
    },
    rotation: () => ({
      fileBytes: 1_000,
      rotate: async () => {
        rotations += 1
      },
      onProblem: () => undefined,
    }),
  })
  await until('the other file is open', () => opened === 2, soon)
  await log.admit(event)
  await log.close()
  t.is(rotations, 0)
  t.deepEqual((await auditReportOf([path])).problems, [])
})

test('killed right after a rotation, a chain cannot be cut at its end unseen', async (t) => {
  const { log, path } = await openTestLog(t)
  await log.admit(event)
  await log.admit(event)
  // As kill -9 leaves it: no checkpoint, and no file at the path.
  const text = await fs.readFile(path, 'utf8')
  const rotated = `${path}.new.1`
  await fs.writeFile(rotated, text, { mode: 0o600 })
  const next = await openTestLog(t, { path: `${path}.new` })
  await next.log.close()
  t.deepEqual((await auditReportOf([rotated, next.path])).problems, [])
  await fs.writeFile(rotated, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1))
  t.is((await auditReportOf([rotated, next.path])).problems.length, 1)
})

test('what lies beside an empty file and is no audit file does not matter', async (t) => {
  const { path } = await openTestLog(t)
  for (const make of [
    (beside: string) => fs.mkdir(beside),
    (beside: string) => fs.symlink('/dev/zero', beside),
    (beside: string) => fs.writeFile(beside, 'no\n\0lines'),
  ]) {
    const other = `${path}.${Math.random()}`
    await make(`${other}.1`)
    const { log } = await openTestLog(t, { path: other })
    await log.close()
    t.deepEqual((await auditReportOf([other])).problems, [])
  }
})
