import type { PodFacts } from './facts.ts'
import { enclosingMount } from './mounts.ts'
import type { ConsumedEntry, Owner } from './owner.ts'

/** What is legal in a pod but unwise, a sentence each, in a fixed order. */
export function adviceOn(
  consumed: readonly ConsumedEntry[],
  facts: PodFacts,
  owner: Owner,
): readonly string[] {
  return [
    ...aboutAccount(facts),
    ...aboutProcesses(facts, owner),
    ...consumed.flatMap((each, index) => aboutEntry(each, `entry ${index + 1}`, facts)),
  ]
}

function aboutAccount({ serviceAccount }: PodFacts): readonly string[] {
  if (serviceAccount !== 'default') return []
  return [
    'the pod runs as service account default, so every pod of the namespace that names none shares its secrets; give it an account of its own',
  ]
}

function aboutProcesses(facts: PodFacts, owner: Owner): readonly string[] {
  if (!facts.sharesProcesses) return []
  const same = facts.containers.find(({ uid }) => uid === 0 || uid === owner.uid)
  if (same === undefined) return []
  return [
    `the pod shares process ids, and container ${same.name} runs as the sidecar's user or as root, so it can read the sidecar's token and every file`,
  ]
}

function aboutEntry(each: ConsumedEntry, name: string, facts: PodFacts): readonly string[] {
  const { entry } = each
  const advice: string[] = []
  if (entry.onDenied.kind === 'keep') {
    advice.push(`${name} keeps its files when the permission is withdrawn (onDenied: keep)`)
  }
  const enclosing = enclosingMount(each)
  if (enclosing !== undefined) {
    advice.push(
      `${name} lies in ${enclosing.path}, which container ${enclosing.container} mounts: a mount point for it is made in that volume`,
    )
  }
  if (entry.onChange?.kind === 'http' && facts.hostNetwork) {
    advice.push(`${name} calls a port of the node, as the pod uses the host's network (onChange)`)
  }
  const environment = facts.environmentSecrets.filter(({ secret }) => secret === entry.secret)
  for (const { container } of environment) {
    advice.push(
      `container ${container} also gets secret ${entry.secret} in environment variables, where every child process and crash report sees it; read the file instead`,
    )
  }
  return advice
}
