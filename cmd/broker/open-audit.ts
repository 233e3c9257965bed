import type { RandomBytes } from '../../src/base/random.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { BrokerConfig } from '../../src/broker/config.ts'
import type { BrokerLog } from '../../src/broker/events.ts'
import type { BrokerReports } from '../../src/broker/reports.ts'
import { noAudit, type AuditSink } from '../../src/observe/audit.ts'
import { openAuditFile } from '../../src/observe/audit-file.ts'
import { createAuditKey, parseAuditKey } from '../../src/observe/audit-key.ts'
import { openAuditLog } from '../../src/observe/audit-log.ts'
import { exportPublicKey } from '../../src/observe/audit-record.ts'
import { rotateByRename } from '../../src/observe/audit-rotation.ts'
import { readSecretFile } from './read-key.ts'

/**
 * Opens the audit that the configuration asks for.
 *
 * @throws `ERR_AUDIT_UNAVAILABLE`, `ERR_AUDIT_KEY`, `ERR_CONFIG_INVALID`.
 */
export async function openAudit(
  config: BrokerConfig,
  deps: {
    readonly reports: BrokerReports
    readonly log: BrokerLog
    readonly replica: string
    readonly random: RandomBytes
  },
): Promise<AuditSink> {
  const { audit: path, auditKey, auditLimit } = config
  if (path === undefined) {
    deps.log.warn('broker.audit_off')
    return noAudit
  }
  const key =
    auditKey === undefined
      ? createAuditKey()
      : parseAuditKey(await readSecretFile(auditKey, 'audit key'))
  const sink = await openAuditLog({
    open: () => openAuditFile(path),
    clock: systemClock,
    random: deps.random,
    key,
    program: 'latchkey-broker',
    replica: deps.replica,
    ...(auditLimit !== undefined && {
      rotation: rotateByRename(path, auditLimit, (error) => {
        deps.log.error('audit.rotation_failed', {}, error)
      }),
    }),
    onCheckpoint: deps.reports.auditCheckpoint,
    onHealth: deps.reports.auditHealth,
  })
  deps.log.info('broker.audit_begun', { path, key: exportPublicKey(key) })
  return sink
}
