import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { systemClock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { AuditEvent, AuditSink } from '../../src/observe/audit.ts'
import { openAuditFile, type AuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog, type AuditLimits } from '../../src/observe/audit-log.ts'
import { exportPublicKey, type AuditHead } from '../../src/observe/audit-record.ts'
import { verifyAudit, type AuditReport } from '../../src/observe/audit-verify.ts'
import { until } from '../e2e/support/until.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

const soon = { timeoutMs: 5_000, everyMs: 2 }
const event: AuditEvent = {
  event: 'secret.allowed',
  outcome: 'allowed',
  what: [{ secret: 'db', keys: [] }],
}
const key = createAuditKey()

interface Opened {
  readonly log: AuditSink
  readonly path: string
  readonly heads: AuditHead[]
  readonly health: unknown[]
}

async function open(
  t: ExecutionContext,
  options: {
    readonly path?: string
    readonly limits?: Partial<AuditLimits>
    readonly wrap?: (file: AuditFile) => AuditFile
  } = {},
): Promise<Opened> {
  const path = options.path ?? `${await temporaryDirectory(t)}/audit.jsonl`
  const heads: AuditHead[] = []
  const health: unknown[] = []
  const log = await openAuditLog({
    open: async () => (options.wrap ?? ((file) => file))(await openAuditFile(path)),
    clock: systemClock,
    random: createRandomPool(),
    key,
    program: 'test',
    replica: 'one',
    onCheckpoint: (head) => heads.push(head),
    onHealth: (problem) => health.push(problem),
    limits: { tickMs: 5, ...options.limits },
  })
  t.teardown(() => log.close())
  return { log, path, heads, health }
}

async function report(path: string, heads: readonly AuditHead[] = []): Promise<AuditReport> {
  const text = await fs.readFile(path)
  const lines = text
    .toString('latin1')
    .split('\n')
    .map((line) => Buffer.from(line, 'latin1'))
  return verifyAudit(lines, { keys: [exportPublicKey(key)], heads })
}

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

test('what was recorded is in the file when record resolves, in order, and verifies', async (t) => {
  const { log, path, heads } = await open(t)
  await log.admit(event)
  t.is((await fs.readFile(path, 'utf8')).split('\n').length, 3)
  await Promise.all(Array.from({ length: 1_000 }, () => log.admit(event)))
  log.note({ event: 'stream.end', outcome: 'done' })
  await log.close()
  const { chains, problems, torn } = await report(path, heads)
  t.deepEqual({ problems, torn }, { problems: [], torn: [] })
  t.is(chains.length, 1)
  t.like(chains[0], {
    lines: 1_005,
    firstSeq: 0,
    lastSeq: 1_004,
    unanchored: 0,
    ended: true,
    lost: 0,
  })
  t.is(heads.length, 2)
  t.is((await fs.stat(path)).mode & 0o777, 0o600)
})

test('a line has its place, its time and what happened, and nothing else', async (t) => {
  const { log, path } = await open(t)
  const who = {
    namespace: 'shop',
    account: 'web',
    pod: 'web-0',
    podUid: 'u',
    node: 'n',
    tokenId: 'j',
  }
  await log.admit({ ...event, who, peer: '10.0.0.1' })
  const [first, second] = (await fs.readFile(path, 'utf8'))
    .split('\n')
    .map((line) => (line === '' ? {} : JSON.parse(line)) as Record<string, unknown>)
  t.like(first, {
    seq: 0,
    prev: '',
    event: 'audit.begin',
    format: 1,
    program: 'test',
    replica: 'one',
    after: null,
  })
  t.deepEqual(Object.keys(second ?? {}), [
    'chain',
    'seq',
    'time',
    'prev',
    'event',
    'outcome',
    'what',
    'who',
    'peer',
  ])
  t.regex(String(second?.['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})

test('checkpoints come by number and by time, are synced first, and their heads are exported', async (t) => {
  const { log, heads, path } = await open(t, { limits: { checkpointLines: 10, checkpointMs: 50 } })
  await Promise.all(Array.from({ length: 9 }, () => log.admit(event)))
  await until('a checkpoint', () => heads.length === 1, soon)
  await log.admit(event)
  await until('a checkpoint by time', () => heads.length === 2, soon)
  const settled = heads.length
  await new Promise((resolve) => setTimeout(resolve, 120))
  t.is(heads.length, settled, 'nothing new, no checkpoint')
  t.deepEqual((await report(path, heads)).problems, [])
  const foreign = { chain: 'A'.repeat(22), seq: 3, hash: 'x' }
  t.deepEqual((await report(path, [foreign])).problems, [
    { kind: 'head-missing', chain: foreign.chain, line: 0 },
  ])
})

test('a second run begins a new chain that says where the first one ended', async (t) => {
  const first = await open(t)
  await first.log.admit(event)
  await first.log.close()
  const second = await open(t, { path: first.path })
  await second.log.admit(event)
  await second.log.close()
  const { chains, problems } = await report(first.path, [...first.heads, ...second.heads])
  t.deepEqual(problems, [])
  t.is(chains.length, 2)
  t.is(chains[1]?.after?.chain, chains[0]?.chain)
  t.true(chains[1]?.afterShown)
})

test('a line that a crash tore is left alone, and the next run begins on a new line', async (t) => {
  const first = await open(t)
  await first.log.admit(event)
  await fs.appendFile(first.path, '{"chain":"half a li')
  const second = await open(t, { path: first.path })
  await second.log.admit(event)
  await second.log.close()
  const { chains, problems, torn } = await report(first.path)
  t.deepEqual(problems, [])
  t.deepEqual(torn, [3])
  t.deepEqual(
    chains.map(({ unanchored }) => unanchored),
    [2, 0],
  )
})

test('while the disk is full what needs recording is refused at once and forgotten, the rest waits', async (t) => {
  const disk = fragile()
  const { log, path, health } = await open(t, { wrap: disk.wrap })
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
  t.deepEqual((await report(path)).problems, [])
})

test('what was refused because a batch failed is not written later', async (t) => {
  const disk = fragile()
  const { log, path } = await open(t, { wrap: disk.wrap })
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
  const { log, path } = await open(t, { wrap: disk.wrap })
  await log.admit(event)
  disk.full = disk.damage = true
  for (let i = 0; i < 9; i += 1) log.note({ event: 'stream.end', outcome: 'done' })
  await until('the failure', () => !log.healthy, soon)
  disk.full = disk.damage = false
  await until('health', () => log.healthy, soon)
  await log.admit(event)
  await log.close()
  const { chains, problems, torn } = await report(path)
  t.deepEqual(problems, [])
  t.true(chains.length >= 2)
  t.true(torn.length >= 1)
  t.is(chains.at(-1)?.unanchored, 0)
})

test('the queue has a bound, and what is lost is counted in the chain', async (t) => {
  const disk = fragile()
  const { log, path } = await open(t, { wrap: disk.wrap, limits: { maxQueued: 3 } })
  disk.full = true
  for (let i = 0; i < 10; i += 1) log.note({ event: 'stream.end', outcome: 'done' })
  await until('the failure', () => !log.healthy, soon)
  disk.full = false
  await until('health', () => log.healthy, soon)
  await log.close()
  const { chains, problems } = await report(path)
  t.deepEqual(problems, [])
  t.is(chains[0]?.lost, 7)
})

test('after a rotation by rename the chain goes on in the new file', async (t) => {
  const { log, path, heads } = await open(t)
  await log.admit(event)
  await fs.rename(path, `${path}.1`)
  await until('the new file', () => fs.stat(path).then(() => true), soon)
  await log.admit(event)
  await log.close()
  const both = Buffer.concat([await fs.readFile(`${path}.1`), await fs.readFile(path)])
  await fs.writeFile(`${path}.both`, both)
  const { chains, problems } = await report(`${path}.both`, heads)
  t.deepEqual(problems, [])
  t.like(chains[0], { unanchored: 0, ended: true })
  const alone = await report(path)
  t.deepEqual(alone.problems, [])
  t.true((alone.chains[0]?.firstSeq ?? 0) > 0)
})

test('a path that is no file of ours alone is refused', async (t) => {
  const directory = await temporaryDirectory(t)
  await t.throwsAsync(openAuditFile(directory), { code: 'ERR_AUDIT_UNAVAILABLE' })
  await t.throwsAsync(openAuditFile(`${directory}/no/audit`), { code: 'ERR_AUDIT_UNAVAILABLE' })
  await fs.writeFile(`${directory}/open`, '')
  await fs.chmod(`${directory}/open`, 0o666)
  await t.throwsAsync(openAuditFile(`${directory}/open`), { code: 'ERR_AUDIT_UNAVAILABLE' })
  await fs.symlink(`${directory}/open`, `${directory}/link`)
  await t.throwsAsync(openAuditFile(`${directory}/link`), { code: 'ERR_AUDIT_UNAVAILABLE' })
})

test('after close nothing is admitted, and closing twice is no mistake', async (t) => {
  const { log } = await open(t)
  await log.close()
  await log.close()
  await t.throwsAsync(log.admit(event), { code: 'ERR_AUDIT_UNAVAILABLE' })
  log.note(event)
  t.pass()
})
