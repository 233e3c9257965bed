import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { LatchkeyError } from '../../base/errors.ts'
import type { KubernetesClient } from '../../clients/kubernetes.ts'
import { maxLineBytes } from '../../observe/audit-record.ts'
import { readLines, splitLines } from '../audit/lines.ts'
import type { OutputFormat } from '../output.ts'
import type { Terminal } from '../terminal.ts'
import { isMount, type ServiceAccount } from './act.ts'
import { takeApiLine, type ApiAuditCounts } from './api-audit.ts'
import { takeBrokerLine } from './broker-audit.ts'
import { Ledger } from './ledger.ts'
import { readPresent } from './present.ts'
import { printSuggestion } from './report.ts'
import { rolesFor } from './roles.ts'
import { idleGrants, type IdleGrant } from './unused.ts'

/** What the command needs from the process. */
export interface SuggestContext {
  readonly terminal: Terminal
  /** Base of relative paths. */
  readonly cwd: string
  /** Standard input, for a file named `-`. */
  readonly stdin: () => Readable
  /** The cluster whose grants are compared, if one was named. */
  readonly cluster: KubernetesClient | undefined
  readonly signal: AbortSignal
}

/** What `latchkey rbac suggest` is given. */
export interface SuggestFlags {
  /** Audit logs of API servers. */
  readonly apiAudit: readonly string[]
  /** Audit files of brokers. */
  readonly audit: readonly string[]
  readonly namespace: string | undefined
  /** More accounts whose own requests are looked at. */
  readonly account: readonly ServiceAccount[]
  /** Where broker and webhook run. */
  readonly system: string
  /** Suggests grants also for what was denied. */
  readonly denied: boolean
  readonly output: OutputFormat
}

/** Longest event of an API server's log: request and response of the largest object, with room. */
const maxEventBytes = 32 * 1_048_576

/**
 * `latchkey rbac suggest`: the least Roles that would allow what logs say happened, and, compared
 * with a cluster, the grants that nobody used. Logs are read once, in bounded memory.
 *
 * @throws `ERR_USAGE` when no log is named, or a file is not there; `ERR_CONFIG_INVALID` when what is
 * named is no audit log; `ERR_LIMIT`; `ERR_KUBERNETES_*`.
 */
export async function suggest(context: SuggestContext, flags: SuggestFlags): Promise<void> {
  const { terminal, cluster, signal } = context
  const files = [...flags.apiAudit, ...flags.audit]
  if (files.length === 0) {
    throw new LatchkeyError('ERR_USAGE', 'no audit log was named', {
      hint: 'name files with --api-audit or --audit',
    })
  }
  if (files.filter((file) => file === '-').length > 1) {
    throw new LatchkeyError('ERR_USAGE', 'standard input was named more than once')
  }
  const accounts = [
    { namespace: flags.system, name: 'latchkey-broker' },
    { namespace: flags.system, name: 'latchkey-webhook' },
    ...flags.account,
  ]
  const { ledger, counts } = await readLogs(context, flags, accounts)
  const entries = ledger
    .entries()
    .filter(({ act }) => flags.namespace === undefined || act.namespace === flags.namespace)
  const isGranted = flags.denied ? () => true : (standing: string) => standing === 'used'
  const roles = rolesFor(
    entries.filter(({ standing }) => isGranted(standing)).map(({ act }) => act),
  )
  const covered = { mount: ledger.covered('mount'), api: ledger.covered('api') }
  let idle: readonly IdleGrant[] | undefined
  if (cluster !== undefined) {
    const present = await readPresent(cluster, { namespace: flags.namespace, signal })
    for (const kind of present.unread)
      terminal.say(`you may not list ${kind}: bindings to them are not compared`)
    idle = idleGrants(present.grants, {
      acts: entries.filter(({ standing }) => standing !== 'denied').map(({ act }) => act),
      mounts: covered.mount !== undefined,
      accounts: covered.api === undefined ? [] : accounts,
    })
  }
  await printSuggestion(terminal, flags.output, { roles, entries, idle, covered })
  const withheld = entries.filter(({ standing }) => standing === 'denied' || standing === 'revoked')
  if (withheld.length > 0 && !flags.denied) {
    terminal.say(
      `${withheld.length} act(s) were denied and are not suggested; see -o table, --denied`,
    )
  }
  if (counts.reviewsWithoutContent > 0 && !entries.some(({ act }) => isMount(act))) {
    terminal.say(
      'the API server logs what the broker asks without its content: log subjectaccessreviews at level RequestResponse, or name the audit files of the brokers with --audit',
    )
  }
}

async function readLogs(
  context: SuggestContext,
  flags: SuggestFlags,
  accounts: readonly ServiceAccount[],
): Promise<{ readonly ledger: Ledger; readonly counts: ApiAuditCounts }> {
  const ledger = new Ledger()
  const counts: ApiAuditCounts = { events: 0, reviewsWithoutContent: 0 }
  const broker = { namespace: flags.system, name: 'latchkey-broker' }
  const into = { ledger, counts, interest: { broker, accounts } }
  const read = async (
    file: string,
    maxBytes: number,
    take: (line: Uint8Array) => boolean,
  ): Promise<void> => {
    const path = resolve(context.cwd, file)
    const lines = file === '-' ? splitLines(context.stdin(), maxBytes) : readLines(path, maxBytes)
    let [good, bad] = [0, 0]
    for await (const line of lines) {
      context.signal.throwIfAborted()
      if (line.byteLength === 0) continue
      if (line.byteLength <= maxBytes && take(line)) good += 1
      else bad += 1
    }
    if (good === 0 && bad > 0) {
      throw new LatchkeyError('ERR_CONFIG_INVALID', `${file} is no audit log of that kind`, {
        hint: '--api-audit takes the log of a kube-apiserver (JSON), --audit that of a broker',
      })
    }
    // The last line of a log that is still written to may be there in part.
    if (bad > 1) context.terminal.say(`${file}: ${bad} lines were not understood and are left out`)
  }
  for (const file of flags.apiAudit) {
    await read(file, maxEventBytes, (line) => takeApiLine(line, into))
  }
  for (const file of flags.audit) {
    await read(file, maxLineBytes, (line) => takeBrokerLine(line, ledger))
  }
  return { ledger, counts }
}
