import test from 'ava'
import * as fs from 'node:fs/promises'
import type { AuditFile } from '../../src/observe/audit-file.ts'
import { until } from '../e2e/support/until.ts'
import { auditReport, event, hangingFile, openTestLog, soon } from '../support/audit-log.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** A file whose appends fail on demand, halfway through. */
function fragile(): { wrap: (file: AuditFile) => AuditFile; full: boolean; damage: boolean } {
  const state = {
    full: false,
    damage: false,
    wrap: (file: AuditFile): AuditFile => {
      let damaged = false
      return {
        get end() {
          return file.end
        },
        get damaged() {
          return damaged
        },
        size: 0,
        append: async (bytes) => {
          if (!state.full) {
            await file.append(bytes)
            return
          }
          if (state.damage) {
            await file.append(bytes.subarray(0, bytes.byteLength / 2))
            damaged = true
          }
          throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
        },
        sync: () => file.sync(),
        current: () => file.current(),
        close: () => file.close(),
      }
    },
  }
  return state
}

test('while the disk is full what needs recording is refused at once and forgotten, the rest waits', async (t) => {
  const disk = fragile()
  const { log, path, health } = await openTestLog(t, { wrap: disk.wrap })
  await log.admit(event)
  disk.full = true
  await t.throwsAsync(log.admit(event), { code: 'ERR_AUDIT_UNAVAILABLE' })
  t.false(log.healthy)
  t.is((health[0] as { code: string }).code, 'ENOSPC')
  log.note({ event: 'secret.revoked', outcome: 'done' })
  await t.throwsAsync(log.admit(event), { code: 'ERR_AUDIT_UNAVAILABLE' })
  disk.full = false
  await until('health', () => log.healthy, soon)
  t.is(health.at(-1), undefined)
  await log.admit(event)
  await log.close()
  const text = await fs.readFile(path, 'utf8')
  t.is(text.split('"secret.allowed"').length - 1, 2)
  t.is(text.split('"secret.revoked"').length - 1, 1)
  t.deepEqual((await auditReport(path)).problems, [])
})

test('what was refused because a batch failed is not written later', async (t) => {
  const disk = fragile()
  const { log, path } = await openTestLog(t, { wrap: disk.wrap })
  disk.full = true
  const refused = Promise.allSettled(Array.from({ length: 5 }, () => log.admit(event)))
  t.true((await refused).every(({ status }) => status === 'rejected'))
  disk.full = false
  await until('health', () => log.healthy, soon)
  await log.close()
  t.false((await fs.readFile(path, 'utf8')).includes('secret.allowed'))
})

test('when half a batch stays behind, a new chain begins and the half lines are torn or unanchored', async (t) => {
  const disk = fragile()
  const { log, path } = await openTestLog(t, { wrap: disk.wrap })
  await log.admit(event)
  disk.full = disk.damage = true
  for (let i = 0; i < 9; i += 1) log.note({ event: 'stream.end', outcome: 'done' })
  await until('the failure', () => !log.healthy, soon)
  disk.full = disk.damage = false
  await until('health', () => log.healthy, soon)
  await log.admit(event)
  await log.close()
  const { chains, problems, torn } = await auditReport(path)
  t.deepEqual(problems, [])
  t.true(chains.length >= 2)
  t.true(torn.length >= 1)
  t.is(chains.at(-1)?.unanchored, 0)
})

test('the queue has a bound, and what is lost is counted in the chain', async (t) => {
  const disk = fragile()
  const { log, path } = await openTestLog(t, { wrap: disk.wrap, limits: { maxQueued: 3 } })
  disk.full = true
  for (let i = 0; i < 10; i += 1) log.note({ event: 'stream.end', outcome: 'done' })
  await until('the failure', () => !log.healthy, soon)
  disk.full = false
  await until('health', () => log.healthy, soon)
  await log.close()
  const { chains, problems } = await auditReport(path)
  t.deepEqual(problems, [])
  t.is(chains[0]?.lost, 7)
})

test('a file that does not answer holds nobody up, and is waited for', async (t) => {
  const { hold, wrap } = hangingFile()
  const clock = new ManualClock()
  const { log, path, health } = await openTestLog(t, { wrap, clock })
  await log.admit(event)
  const { promise, resolve } = Promise.withResolvers<undefined>()
  hold.gate = promise.then(() => undefined)
  const underWay = log.admit(event)
  log.note({ event: 'secret.revoked', outcome: 'denied' })
  await clock.advance(10_000)
  await t.throwsAsync(underWay, { code: 'ERR_AUDIT_UNAVAILABLE' })
  t.false(log.healthy)
  t.is(health.length, 1)
  await t.throwsAsync(log.admit(event), { code: 'ERR_AUDIT_UNAVAILABLE' })
  resolve(undefined)
  await until('health', () => log.healthy, soon)
  await log.admit(event)
  await log.close()
  t.deepEqual((await auditReport(path)).problems, [])
  const text = await fs.readFile(path, 'utf8')
  t.is(text.split('"secret.revoked"').length - 1, 1)
  t.is(text.split('"secret.allowed"').length - 1, 3)
})

test('not even the end waits for a file that does not answer', async (t) => {
  const { hold, wrap } = hangingFile()
  const clock = new ManualClock()
  const { log } = await openTestLog(t, { wrap, clock })
  await log.admit(event)
  hold.gate = new Promise(() => undefined)
  const pass = (): Promise<void> => clock.advance(1_000)
  await until('the stall', () => pass().then(() => !log.healthy), soon)
  let closed = false
  const closing = log.close().then(() => (closed = true))
  await until('the end', () => pass().then(() => closed), soon)
  t.true(await closing)
})
