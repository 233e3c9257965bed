import test, { type ExecutionContext } from 'ava'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { auditVerify, type AuditVerifyFlags } from '../../src/admin/audit/verify.ts'
import { systemClock } from '../../src/base/clock.ts'
import { openAuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog } from '../../src/observe/audit-log.ts'
import { exportPublicKey, type AuditHead } from '../../src/observe/audit-record.ts'
import { recordedContext, type RecordedContext } from '../support/admin-context.ts'

const key = createAuditKey()
const flags: AuditVerifyFlags = { files: ['audit'], key: [], heads: undefined, output: 'table' }

/** A context with a file `audit` that holds one ended chain, and `heads` with its heads. */
async function audited(t: ExecutionContext): Promise<RecordedContext> {
  const context = await recordedContext(t)
  const heads: AuditHead[] = []
  const log = await openAuditLog({
    open: () => openAuditFile(context.path('audit')),
    clock: systemClock,
    random: context.random,
    key,
    program: 'test',
    replica: 'one',
    onCheckpoint: (head) => heads.push(head),
    onHealth: () => undefined,
  })
  for (let count = 0; count < 5; count += 1) {
    const what = [{ secret: 'db', keys: [] }]
    await log.admit({ event: 'secret.allowed', outcome: 'allowed', what })
  }
  await log.close()
  const lines = heads.map((head) => JSON.stringify(head))
  await writeFile(context.path('heads'), `${lines.join('\n')}\n`)
  return context
}

test('an untouched file is intact, by its key and by its heads', async (t) => {
  const context = await audited(t)
  const known = { ...flags, key: [exportPublicKey(key)], heads: 'heads' }
  t.true(await auditVerify(context, known))
  t.regex(context.data.join('\n'), /intact/)
  t.deepEqual(context.said, [])
})

test('an edited line, a removed line and a cut file are found and named', async (t) => {
  const context = await audited(t)
  const lines = (await readFile(context.path('audit'), 'utf8')).split('\n')
  await writeFile(context.path('edited'), lines.join('\n').replace('"allowed"', '"denied"'))
  t.false(await auditVerify(context, { ...flags, files: ['edited'] }))
  await writeFile(context.path('gap'), lines.toSpliced(3, 1).join('\n'))
  t.false(await auditVerify(context, { ...flags, files: ['gap'] }))
  await writeFile(context.path('cut'), `${lines.slice(0, 4).join('\n')}\n`)
  t.true(await auditVerify(context, { ...flags, files: ['cut'] }), 'nothing shows it but a head')
  t.regex(context.said.join('\n'), /unanchored: 4/)
  t.false(await auditVerify(context, { ...flags, files: ['cut'], heads: 'heads' }))
  t.regex(context.said.join('\n'), /problem: (gap|edited)/)
})

test('a beginning or an end that is not there is told of', async (t) => {
  const context = await audited(t)
  const lines = (await readFile(context.path('audit'), 'utf8')).split('\n')
  await writeFile(context.path('tail'), lines.slice(2).join('\n'))
  t.true(await auditVerify(context, { ...flags, files: ['tail'], key: [exportPublicKey(key)] }))
  t.regex(context.said.join('\n'), /^earlier: chain \S+ has 2 line\(s\) before these/)
  context.said.length = 0
  await writeFile(context.path('head'), `${lines.slice(0, 3).join('\n')}\n`)
  t.true(await auditVerify(context, { ...flags, files: ['head'] }))
  t.regex(context.said.join('\n'), /^open: chain \S+ has no orderly end/)
})

test('a chain of another key is a problem, a torn last line is said', async (t) => {
  const context = await audited(t)
  const other = exportPublicKey(createAuditKey())
  t.false(await auditVerify(context, { ...flags, key: [other] }))
  await appendFile(context.path('audit'), '{"chain":"x')
  t.true(await auditVerify(context, flags))
  t.regex(context.said.join('\n'), /torn: line/)
})

test('a missing file, an empty one and heads that are none are told', async (t) => {
  const context = await audited(t)
  await t.throwsAsync(auditVerify(context, { ...flags, files: ['none'] }), { code: 'ERR_USAGE' })
  await t.throwsAsync(auditVerify(context, { ...flags, heads: 'audit' }), { code: 'ERR_USAGE' })
  await writeFile(context.path('empty'), '')
  t.false(await auditVerify(context, { ...flags, files: ['empty'] }))
})
