import type { ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { systemClock, type Clock } from '../../src/base/clock.ts'
import { createRandomPool } from '../../src/base/random.ts'
import type { AuditEvent, AuditSink } from '../../src/observe/audit.ts'
import { openAuditFile, type AuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog, type AuditLimits } from '../../src/observe/audit-log.ts'
import type { AuditRotation } from '../../src/observe/audit-rotation.ts'
import { exportPublicKey, type AuditHead } from '../../src/observe/audit-record.ts'
import { verifyAudit, type AuditReport } from '../../src/observe/audit-verify.ts'
import { temporaryDirectory } from './secret-store.ts'

/** Patience with what comes in milliseconds. */
export const soon = { timeoutMs: 30_000, everyMs: 2 }
/** Something to record. */
export const event: AuditEvent = {
  event: 'secret.allowed',
  outcome: 'allowed',
  what: [{ secret: 'db', keys: [] }],
}
/** Signs the checkpoints. */
export const key = createAuditKey()

/** A log and what it has told. */
export interface TestAuditLog {
  readonly log: AuditSink
  readonly path: string
  readonly heads: AuditHead[]
  readonly health: unknown[]
}

/** A file as on a disk that hangs: nothing is written or synced before the gate is open. */
export function hangingFile(): {
  readonly hold: { gate: Promise<void> | undefined }
  readonly wrap: (file: AuditFile) => AuditFile
} {
  const hold = { gate: undefined as Promise<void> | undefined }
  const wrap = (file: AuditFile): AuditFile => ({
    ...file,
    damaged: false,
    size: 0,
    append: async (bytes) => {
      await hold.gate
      await file.append(bytes)
    },
    sync: async () => {
      await hold.gate
      await file.sync()
    },
  })
  return { hold, wrap }
}

/** Opens a log, which is closed with the test. */
export async function openTestLog(
  t: ExecutionContext,
  options: {
    readonly path?: string
    readonly limits?: Partial<AuditLimits>
    readonly clock?: Clock
    readonly wrap?: (file: AuditFile) => AuditFile
    readonly rotation?: (path: string) => AuditRotation
  } = {},
): Promise<TestAuditLog> {
  const path = options.path ?? `${await temporaryDirectory(t)}/audit.jsonl`
  const heads: AuditHead[] = []
  const health: unknown[] = []
  const log = await openAuditLog({
    open: async () => (options.wrap ?? ((file) => file))(await openAuditFile(path)),
    clock: options.clock ?? systemClock,
    random: createRandomPool(),
    key,
    program: 'test',
    replica: 'one',
    onCheckpoint: (head) => heads.push(head),
    onHealth: (problem) => health.push(problem),
    ...(options.rotation !== undefined && { rotation: options.rotation(path) }),
    limits: { tickMs: 5, ...options.limits },
  })
  t.teardown(() => log.close())
  return { log, path, heads, health }
}

/** What the verifier says of a file. */
export async function auditReport(
  path: string,
  heads: readonly AuditHead[] = [],
): Promise<AuditReport> {
  return auditReportOf([path], heads)
}

/** What the verifier says of the files of one audit, the oldest first. */
export async function auditReportOf(
  paths: readonly string[],
  heads: readonly AuditHead[] = [],
): Promise<AuditReport> {
  const parts: Buffer[] = []
  for (const path of paths) parts.push(await fs.readFile(path))
  const lines = Buffer.concat(parts)
    .toString('latin1')
    .split('\n')
    .map((line) => Buffer.from(line, 'latin1'))
  return verifyAudit(lines, { keys: [exportPublicKey(key)], heads })
}
