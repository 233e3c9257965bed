import { toBase64Url } from '../../base/bytes.ts'
import { rfc3339, type Clock } from '../../base/clock.ts'
import { Doorbell } from '../../base/doorbell.ts'
import { LatchkeyError } from '../../base/errors.ts'
import type { RandomBytes } from '../../base/random.ts'
import { backoffMs, type Backoff } from '../../base/retry.ts'
import type { EtcdLease } from '../../clients/etcd/lease.ts'
import type { Comparison, EtcdEntry, Operation } from '../../clients/etcd/messages.ts'
import type { LineageMark } from '../lineage.ts'
import type { KeyringMembership, MembershipEvents } from '../members.ts'
import type { KeyringEtcd } from './etcd.ts'
import {
  encodeAcknowledgement,
  encodeMember,
  parseAcknowledgement,
  parseMember,
  type EtcdLayout,
} from './etcd-layout.ts'

/** Who the node is, and what it needs. */
export interface MembershipDeps {
  readonly etcd: KeyringEtcd
  readonly keys: EtcdLayout
  readonly name: string
  /** See {@link MemberRecord}. */
  readonly nodeId: string
  readonly clock: Clock
  readonly random: RandomBytes
  /** Seconds without a sign of life after which the node counts as not alive. Default 15. */
  readonly ttlSeconds?: number
}

/** A node's membership; `join` is for the store, which calls it before it reads. */
export interface EtcdMembership extends KeyringMembership {
  /**
   * Makes sure that the node has a record. Does nothing when it was seen to have one lately.
   *
   * @throws `ERR_MEMBER_TAKEN` when another node of this name is alive; `ERR_MEMBER_INVALID`; what etcd
   * throws.
   */
  join(timeoutMs?: () => number): Promise<void>
}

const backoff: Backoff = { initialMs: 500, maxMs: 5_000, factor: 2 }
const callMs = 5_000
/** How often it is looked whether record and acknowledgement still are as they should be. */
const recheckMs = 15_000

type Served = Pick<LineageMark, 'generation' | 'digest'>

/** The membership of this node in a keyring in etcd. */
export function etcdMembership(deps: MembershipDeps): EtcdMembership {
  const { etcd, keys, name, nodeId, clock } = deps
  const bootId = toBase64Url(deps.random(16))
  const [record, sign, word] = [keys.members, keys.alive, keys.acknowledged].map(
    (prefix) => `${prefix}${name}`,
  ) as [string, string, string]
  const bell = new Doorbell()
  /** Revision of our record, once it was seen; `undefined` when it must be looked at again. */
  let joinedAt: number | undefined
  let wasMember = false
  let rejoined = false
  let served: Served | undefined

  const look = async (timeoutMs: number): Promise<readonly (EtcdEntry | undefined)[]> => {
    const { answers } = await etcd.transact(
      { compare: [], success: [record, sign, word].map((key) => ({ range: { key } })) },
      { timeoutMs },
    )
    return answers.map((answer) => ('range' in answer ? answer.range.entries[0] : undefined))
  }

  /** Looks, and joins where it is not a member. Returns what it has acknowledged, as etcd has it. */
  const establish = async (timeoutMs: () => number): Promise<EtcdEntry | undefined> => {
    for (let tries = 0; tries < 5; tries += 1) {
      const [mine, alive, said] = await look(timeoutMs())
      if (mine !== undefined && parseMember(mine.value, record).nodeId === nodeId) {
        joinedAt = mine.modRevision
        wasMember = true
        return said
      }
      joinedAt = undefined
      // The name of a node that was set up anew: its record goes over to us once nobody lives by it.
      if (mine !== undefined && alive !== undefined) throw taken(name)
      const compare: Comparison[] = [
        { key: record, target: 'mod', is: '=', value: mine?.modRevision ?? 0 },
        ...(mine === undefined
          ? []
          : [{ key: sign, target: 'create', is: '=', value: 0 } as const]),
      ]
      const value = encodeMember({ nodeId, joinedAt: rfc3339(clock.now()) })
      // What the former node of this name has acknowledged says nothing of us.
      const success: Operation[] = [{ put: { key: record, value } }, { delete: { key: word } }]
      const { succeeded } = await etcd.transact({ compare, success }, { timeoutMs: timeoutMs() })
      if (succeeded) rejoined = wasMember
    }
    throw new LatchkeyError('ERR_BUSY', `the record of node ${name} changes too fast`, {
      hint: 'see that no two nodes have this name, and give one another with --node-name',
    })
  }

  /** Writes `value` if our record still is what it was. */
  const writeAsMember = async (put: {
    readonly key: string
    readonly value: Uint8Array
    readonly leaseId?: number
  }): Promise<boolean> => {
    // As a comparison, no record would hold where there is none.
    if (joinedAt === undefined) return false
    const { succeeded } = await etcd.transact({
      compare: [{ key: record, target: 'mod', is: '=', value: joinedAt }],
      success: [{ put }],
    })
    if (!succeeded) joinedAt = undefined
    return succeeded
  }

  const acknowledge = async (said: EtcdEntry | undefined, events: MembershipEvents) => {
    if (served === undefined || isSaid(said, served)) return
    const telling = served
    const value = encodeAcknowledgement({ bootId, ...telling, at: rfc3339(clock.now()) })
    if (await writeAsMember({ key: word, value })) events.acknowledged(telling)
    else bell.ring()
  }
  const isSaid = (said: EtcdEntry | undefined, what: Served): boolean => {
    if (said === undefined) return false
    try {
      const former = parseAcknowledgement(said.value, word)
      return former.bootId === bootId && former.digest === what.digest
    } catch {
      // Whatever that is, ours takes its place.
      return false
    }
  }

  return {
    name,
    bootId,
    join: async (timeoutMs = () => callMs) => {
      if (joinedAt === undefined) await establish(timeoutMs)
    },
    acknowledge: ({ generation, digest }) => {
      served = { generation, digest }
      bell.ring()
    },
    run: async (signal, events) => {
      let lease: EtcdLease | undefined
      let keeping: AbortController | undefined
      let told = false
      const live = async (): Promise<void> => {
        const granted = await etcd.grantLease(deps.ttlSeconds ?? 15, { signal })
        const value = Buffer.from(JSON.stringify({ format: 1, bootId }))
        if (!(await writeAsMember({ key: sign, value, leaseId: granted.leaseId }))) {
          bell.ring()
          return
        }
        const own = new AbortController()
        keeping = own
        lease = granted
        void etcd
          .keepLease(granted, { signal: AbortSignal.any([signal, own.signal]) })
          .then((end) => {
            if (end === 'stopped' || lease !== granted) return
            lease = undefined
            bell.ring()
          })
      }
      for (let failures = 0; !signal.aborted;) {
        try {
          const said = await establish(() => callMs)
          if (lease === undefined) await live()
          if (lease !== undefined && (!told || rejoined))
            events.joined(rejoined ? 'rejoined' : 'joined')
          ;[told, rejoined] = [lease !== undefined, false]
          await acknowledge(said, events)
          failures = 0
        } catch (error) {
          if (isAborted(signal)) break
          failures += 1
          told = false
          events.problem(error)
        }
        const ms =
          failures === 0 ? recheckMs : backoffMs(backoff, failures - 1, jitter(deps.random))
        await bell.wait({ signal, clock, ms })
      }
      keeping?.abort()
      // So that nobody waits for the lease to run out. It does not matter when this fails.
      if (lease !== undefined) await withinMs(etcd.revokeLease(lease.leaseId), 1_000)
    },
  }
}

function jitter(random: RandomBytes): () => number {
  return () => (random(1)[0] ?? 0) / 256
}

async function withinMs(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => undefined), late])
  clearTimeout(timer)
}

/** Asked anew: between two questions there was a wait. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}

function taken(name: string): LatchkeyError {
  return new LatchkeyError('ERR_MEMBER_TAKEN', `another node named ${name} is alive`, {
    hint: 'give each node a name of its own with --node-name',
  })
}
