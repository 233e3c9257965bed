import test from 'ava'
import * as fs from 'node:fs/promises'
import { openAuditFile } from '../../src/observe/audit-file.ts'
import { until } from '../e2e/support/until.ts'
import { auditReport, event, openTestLog, soon } from '../support/audit-log.ts'
import { temporaryDirectory } from '../support/secret-store.ts'

test('what was recorded is in the file when record resolves, in order, and verifies', async (t) => {
  const { log, path, heads } = await openTestLog(t)
  await log.admit(event)
  t.is((await fs.readFile(path, 'utf8')).split('\n').length, 3)
  await Promise.all(Array.from({ length: 1_000 }, () => log.admit(event)))
  log.note({ event: 'stream.end', outcome: 'done' })
  await log.close()
  const { chains, problems, torn } = await auditReport(path, heads)
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
  const { log, path } = await openTestLog(t)
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
  const { log, heads, path } = await openTestLog(t, {
    limits: { checkpointLines: 10, checkpointMs: 50 },
  })
  await Promise.all(Array.from({ length: 9 }, () => log.admit(event)))
  await until('a checkpoint', () => heads.length === 1, soon)
  await log.admit(event)
  await until('a checkpoint by time', () => heads.length === 2, soon)
  const settled = heads.length
  await new Promise((resolve) => setTimeout(resolve, 120))
  t.is(heads.length, settled, 'nothing new, no checkpoint')
  t.deepEqual((await auditReport(path, heads)).problems, [])
  const foreign = { chain: 'A'.repeat(22), seq: 3, hash: 'x' }
  t.deepEqual((await auditReport(path, [foreign])).problems, [
    { kind: 'head-missing', chain: foreign.chain, line: 0 },
  ])
})

test('a second run begins a new chain that says where the first one ended', async (t) => {
  const first = await openTestLog(t)
  await first.log.admit(event)
  await first.log.close()
  const second = await openTestLog(t, { path: first.path })
  await second.log.admit(event)
  await second.log.close()
  const { chains, problems } = await auditReport(first.path, [...first.heads, ...second.heads])
  t.deepEqual(problems, [])
  t.is(chains.length, 2)
  t.is(chains[1]?.after?.chain, chains[0]?.chain)
  t.true(chains[1]?.afterShown)
})

test('a line that a crash tore is left alone, and the next run begins on a new line', async (t) => {
  const first = await openTestLog(t)
  await first.log.admit(event)
  await fs.appendFile(first.path, '{"chain":"half a li')
  const second = await openTestLog(t, { path: first.path })
  await second.log.admit(event)
  await second.log.close()
  const { chains, problems, torn } = await auditReport(first.path)
  t.deepEqual(problems, [])
  t.deepEqual(torn, [3])
  t.deepEqual(
    chains.map(({ unanchored }) => unanchored),
    [2, 0],
  )
})

test('a last line that lacks nothing but its line feed is a line, and no cut', async (t) => {
  const first = await openTestLog(t)
  await first.log.admit(event)
  await first.log.admit(event)
  const copy = `${first.path}.copy`
  await fs.writeFile(copy, (await fs.readFile(first.path)).subarray(0, -1))
  const second = await openTestLog(t, { path: copy })
  await second.log.close()
  const { chains, problems, torn } = await auditReport(copy)
  t.deepEqual({ problems, torn }, { problems: [], torn: [] })
  t.is(chains[1]?.after?.seq, 2)
})

test('after a rotation by rename the chain goes on in the new file', async (t) => {
  const { log, path, heads } = await openTestLog(t)
  await log.admit(event)
  await fs.rename(path, `${path}.1`)
  await until('the new file', () => fs.stat(path).then(() => true), soon)
  await log.admit(event)
  await log.close()
  const both = Buffer.concat([await fs.readFile(`${path}.1`), await fs.readFile(path)])
  await fs.writeFile(`${path}.both`, both)
  const { chains, problems } = await auditReport(`${path}.both`, heads)
  t.deepEqual(problems, [])
  t.like(chains[0], { unanchored: 0, ended: true })
  const alone = await auditReport(path)
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
  const { log } = await openTestLog(t)
  await log.close()
  await log.close()
  await t.throwsAsync(log.admit(event), { code: 'ERR_AUDIT_UNAVAILABLE' })
  log.note(event)
  t.pass()
})
