import { parseLine } from '../../observe/audit-record.ts'
import { listOf, objectOf, textOf, type JsonObject } from '../../clients/kubernetes-objects.ts'
import { isNamespaceName, isSecretName } from '../../secrets/reference.ts'
import { isReference, mountAct, type Outcome } from './act.ts'
import type { Ledger } from './ledger.ts'

const outcomes: Readonly<Record<string, Outcome>> = {
  'secret.allowed': 'allowed',
  'secret.denied': 'denied',
  'secret.revoked': 'denied',
}

/**
 * Takes a line of a broker's audit file (src/observe/AUDIT.md) into the ledger: decisions, and what
 * was delivered, as a permission that is older than the file is not decided in it again.
 *
 * @returns whether it is such a line.
 */
export function takeBrokerLine(line: Uint8Array, ledger: Ledger): boolean {
  const parsed = parseLine(line)
  if (parsed === undefined) return false
  const timeMs = Date.parse(parsed.line.time)
  if (Number.isNaN(timeMs)) return false
  ledger.cover('mount', timeMs)
  const { event } = parsed.line
  const who = objectOf(parsed.fields['who'])
  const [namespace, serviceAccount] = [textOf(who, 'namespace'), textOf(who, 'account')]
  if (!isNamespaceName(namespace) || !isSecretName(serviceAccount)) return true
  for (const value of listOf(parsed.fields, 'what')) {
    const item = objectOf(value)
    const outcome = outcomes[event] ?? (event === 'set.delivered' ? delivered(item) : undefined)
    const secret = textOf(item, 'secret')
    if (outcome === undefined || !isReference(secret)) continue
    ledger.record(mountAct({ namespace, serviceAccount }, secret), outcome, timeMs)
  }
  return true
}

function delivered(item: JsonObject): Outcome | undefined {
  return textOf(item, 'status') === 'READY' ? 'allowed' : undefined
}
