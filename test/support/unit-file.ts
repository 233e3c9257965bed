/** A systemd unit: section → setting → its values in order, with resets (`Setting=`) applied. */
export type UnitFile = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

/** Reads a unit file, or a unit and its drop-ins one after the other. */
export function parseUnitFile(...texts: readonly string[]): UnitFile {
  const unit: Record<string, Record<string, string[]>> = {}
  for (const text of texts) {
    let section: Record<string, string[]> | undefined
    for (const line of text.split('\n')) {
      if (/^\s*(?:[#;]|$)/.test(line)) continue
      const header = /^\[(\w+)\]$/.exec(line)?.[1]
      const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
      if (header !== undefined) section = unit[header] ??= {}
      else if (section === undefined || name === undefined || value === undefined) {
        throw new Error(`not a line of a unit file: ${line}`)
      } else if (value === '') section[name] = []
      else (section[name] ??= []).push(value)
    }
  }
  return unit
}
