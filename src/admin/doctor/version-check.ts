import { findingsAbout, type Finding } from './finding.ts'

const oldest = { major: 24, minor: 12 } as const

/** Checks the Node.js that runs this, such as `24.21.0`. */
export function checkVersions(versions: {
  readonly node: string
  readonly latchkey: string
}): readonly Finding[] {
  const about = findingsAbout('versions')
  const [major = 0, minor = 0] = versions.node.split('.').map(Number)
  const good = major > oldest.major || (major === oldest.major && minor >= oldest.minor)
  const message = `latchkey ${versions.latchkey} on Node.js ${versions.node}`
  if (good) return [about.ok(message)]
  return [about.problem(message, `use Node.js ${oldest.major}.${oldest.minor} or newer`)]
}
