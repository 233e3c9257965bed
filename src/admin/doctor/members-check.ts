import { sha256Label } from '../../base/bytes.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import { findingsAbout, problemOf, type Finding } from './finding.ts'

const subject = 'nodes'

/** Looks at the nodes that share a keyring; nothing to say where it is for one alone. */
export async function checkMembers(store: KeyringStore): Promise<readonly Finding[]> {
  const about = findingsAbout(subject)
  if (store.members === undefined) return []
  try {
    const { members } = await store.members.list()
    const stored = await store.load()
    if (stored === undefined) return []
    const digest = sha256Label(stored.bytes)
    if (members.length === 0) {
      const remedy = 'start latchkey-kms on every control plane with this --keyring'
      return [about.warning('no node has joined', remedy)]
    }
    const behind = members.filter(({ acknowledged }) => acknowledged?.digest !== digest)
    const findings = behind.map(({ name, alive }) =>
      alive
        ? about.warning(
            `${name} is alive and has not loaded the current generation`,
            `look at the log of latchkey-kms on ${name}`,
          )
        : about.warning(
            `${name} is not alive and has not loaded the current generation: no key can be activated`,
            `start latchkey-kms on ${name}; if the node is gone for good: latchkey keys nodes remove ${name}`,
          ),
    )
    const silent = members.filter(
      ({ alive, acknowledged }) => !alive && acknowledged?.digest === digest,
    )
    for (const { name } of silent) {
      findings.push(
        about.warning(
          `${name} is not alive`,
          `start latchkey-kms on ${name}, or see why it does not reach etcd`,
        ),
      )
    }
    if (findings.length > 0) return findings
    return [about.ok(`${members.length} node(s), each alive with the current generation`)]
  } catch (error) {
    return [problemOf(subject, error)]
  }
}
