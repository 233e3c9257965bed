import { LatchkeyError } from '../../base/errors.ts'
import { prefixEnd, type RangeAnswer } from '../../clients/etcd/messages.ts'
import type { KeyringMembers, Member } from '../members.ts'
import type { KeyringEtcd } from './etcd.ts'
import { parseAcknowledgement, parseMember, type EtcdLayout } from './etcd-layout.ts'

/** The members of a keyring in etcd, as an administrator sees them. */
export function etcdMembers(deps: {
  readonly etcd: KeyringEtcd
  readonly keys: EtcdLayout
}): KeyringMembers {
  const { etcd, keys } = deps
  const under = (prefix: string) =>
    ({ range: { key: prefix, rangeEnd: prefixEnd(prefix) } }) as const

  return {
    list: async () => {
      const { answers, revision } = await etcd.transact({
        compare: [],
        success: [under(keys.members), under(keys.alive), under(keys.acknowledged)],
      })
      const [records, alive, acknowledged] = answers.map((answer) =>
        'range' in answer ? answer.range.entries : [],
      )
      const living = new Set(alive?.map(({ key }) => key.slice(keys.alive.length)))
      const said = new Map(
        acknowledged?.map(({ key, value }) => [
          key.slice(keys.acknowledged.length),
          { key, value },
        ]),
      )
      const members = (records ?? []).map(({ key, value }): Member => {
        const name = key.slice(keys.members.length)
        const word = said.get(name)
        return {
          name,
          joinedAt: parseMember(value, key).joinedAt,
          alive: living.has(name),
          acknowledged: word && parseAcknowledgement(word.value, word.key),
        }
      })
      return { members, revision }
    },

    remove: async (name) => {
      const [record, sign] = [`${keys.members}${name}`, `${keys.alive}${name}`]
      const { succeeded, answers } = await etcd.transact({
        compare: [
          { key: record, target: 'create', is: '>', value: 0 },
          { key: sign, target: 'create', is: '=', value: 0 },
        ],
        success: [{ delete: { key: record } }, { delete: { key: `${keys.acknowledged}${name}` } }],
        failure: [{ range: { key: record, keysOnly: true } }],
      })
      if (succeeded) return
      const [answer] = answers
      throw isThere(answer) ? stillAlive(name) : notFound(name)
    },

    watch: async (onChange, signal) => {
      const changed = (): void => {
        if (!signal.aborted) onChange()
      }
      const watchOne = async (prefix: string): Promise<void> => {
        while (!signal.aborted) {
          const rangeEnd = prefixEnd(prefix)
          await etcd
            .watch(prefix, {
              rangeEnd,
              signal,
              onEvents: changed,
              onLive: changed,
              onLost: changed,
            })
            .catch(changed)
        }
      }
      await Promise.all([keys.members, keys.alive, keys.acknowledged].map(watchOne))
    },
  }
}

function isThere(answer: { readonly range: RangeAnswer } | object | undefined): boolean {
  return answer !== undefined && 'range' in answer && answer.range.count > 0
}

function notFound(name: string): LatchkeyError {
  return new LatchkeyError('ERR_MEMBER_NOT_FOUND', `there is no node ${name}`, {
    hint: 'look with "latchkey keys nodes"',
  })
}

function stillAlive(name: string): LatchkeyError {
  return new LatchkeyError('ERR_MEMBER_ALIVE', `the node ${name} is alive`, {
    hint: `stop latchkey-kms on ${name} for good, wait half a minute, and repeat the command`,
  })
}
