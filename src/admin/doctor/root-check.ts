import * as fs from 'node:fs/promises'
import { resolve } from 'node:path'
import { describeError } from '../../base/errors.ts'
import type { RootKey } from '../../keyring/root.ts'
import type { AdminContext } from '../context.ts'
import { findingsAbout, problemOf, type Finding } from './finding.ts'

const subject = 'root'

/** Roots that could be read, and what was found about each. */
export interface RootCheck {
  readonly findings: readonly Finding[]
  readonly roots: readonly RootKey[]
}

/** Reads every root named and looks at where it lies. */
export async function checkRoots(
  context: AdminContext,
  flags: { readonly root: readonly string[]; readonly keyring: string | undefined },
): Promise<RootCheck> {
  const findings: Finding[] = []
  const roots: RootKey[] = []
  const about = findingsAbout(subject)
  for (const spec of flags.root) {
    try {
      const root = await context.openRoot(spec)
      roots.push(root)
      findings.push(about.ok(`a root of type ${root.type} can be read, and by its owner only`))
      findings.push(...(await besideKeyring(context, { spec, keyring: flags.keyring })))
    } catch (error) {
      findings.push(problemOf(subject, error))
    }
  }
  return { findings, roots }
}

async function besideKeyring(
  context: AdminContext,
  where: { readonly spec: string; readonly keyring: string | undefined },
): Promise<readonly Finding[]> {
  const match = /^(file|passphrase):(?!fd:|credential:)(.+)$/.exec(where.spec)
  if (match?.[2] === undefined || where.keyring === undefined) return []
  const about = findingsAbout(subject)
  try {
    const root = await fs.realpath(resolve(context.cwd, match[2]))
    const keyring = await fs.realpath(resolve(context.cwd, where.keyring))
    const { mode } = await fs.stat(root)
    const findings: Finding[] = []
    if (root.startsWith(`${keyring}/`)) {
      findings.push(
        about.warning(
          'the root lies in the keyring directory, so whoever copies the one has the other',
          'move it to a place that backups of the keyring do not reach',
        ),
      )
    }
    if (match[1] === 'passphrase' && (mode & 0o077) !== 0) {
      findings.push(about.problem(`${root} can be read by others`, `chmod 0600 ${root}`))
    }
    return findings
  } catch (error) {
    return [about.warning(`where the root lies could not be told: ${describeError(error)}`)]
  }
}
