import { parseDocument } from '../../keyring/document.ts'
import { Keyring } from '../../keyring/keyring.ts'
import { checkLineage } from '../../keyring/lineage.ts'
import type { RootKey } from '../../keyring/root.ts'
import type { KeyringStore } from '../../keyring/store.ts'
import { findingsAbout, problemOf, type Finding } from './finding.ts'

const subject = 'keyring'
const recommendedDays = 90
const dayMs = 86_400_000

/** What was found, and the keyring if it could be opened; the caller disposes of it. */
export interface KeyringCheck {
  readonly findings: readonly Finding[]
  readonly keyring: Keyring | undefined
}

/** Looks at the store's document without a root where none is given, and through the root where one is. */
export async function checkKeyring(
  store: KeyringStore,
  options: {
    readonly roots: readonly RootKey[]
    readonly nowMs: number
    readonly maxKeyAgeDays?: number | undefined
  },
): Promise<KeyringCheck> {
  const about = findingsAbout(subject)
  try {
    const stored = await store.load()
    const mark = await store.highWater()
    if (stored === undefined) {
      const finding =
        mark === undefined
          ? about.problem(`${store.location} holds no keyring`, 'run "latchkey keys init"')
          : about.problem(
              `the keyring of ${store.location} is gone; this node used it up to generation ${mark.generation}`,
              'restore it with "latchkey keys restore"',
            )
      return { findings: [finding], keyring: undefined }
    }
    const { body } = parseDocument(stored.bytes, 'keyring')
    if (options.roots.length === 0) {
      const finding = about.warning(
        `generation ${body.generation} is well-formed; whether it is genuine needs a root`,
        'name the root with --root',
      )
      return { findings: [finding], keyring: undefined }
    }
    const keyring = await Keyring.open(stored.bytes, { roots: options.roots })
    try {
      checkLineage(keyring, mark)
    } catch (error) {
      keyring[Symbol.dispose]()
      return { findings: [problemOf(subject, error)], keyring: undefined }
    }
    return { findings: describe(keyring, options), keyring }
  } catch (error) {
    return { findings: [problemOf(subject, error)], keyring: undefined }
  }
}

function describe(
  keyring: Keyring,
  options: { readonly nowMs: number; readonly maxKeyAgeDays?: number | undefined },
): readonly Finding[] {
  const { nowMs, maxKeyAgeDays = recommendedDays } = options
  const about = findingsAbout(subject)
  const count = (state: string): number => keyring.keys.filter((key) => key.state === state).length
  const findings = [
    about.ok(
      `generation ${keyring.generation} of cluster ${keyring.clusterId}, active ${keyring.active.id}, ` +
        `${count('superseded')} superseded, ${count('retired')} retired`,
    ),
  ]
  const staged = keyring.keys.find(({ state }) => state === 'staged')
  if (staged !== undefined) {
    findings.push(
      about.warning(
        `key ${staged.id} has been staged since ${staged.createdAt}`,
        `finish the rotation with "latchkey keys rotate" or "activate", or give it up with "latchkey keys destroy ${staged.id}"`,
      ),
    )
  }
  const days = Math.floor((nowMs - Date.parse(keyring.active.changedAt)) / dayMs)
  if (days > maxKeyAgeDays) {
    findings.push(
      about.warning(
        `the active key has been active for ${days} days, and ${maxKeyAgeDays} are allowed`,
        'rotate it: "latchkey keys rotate" (KEP-3299 recommends at least every 90 days)',
      ),
    )
  }
  return findings
}
