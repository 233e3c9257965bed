/** One entry of a tar. */
export interface TarEntry {
  /** Relative, without `./` before it and `/` after it. */
  readonly path: string
  readonly type: 'file' | 'directory' | 'link'
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970. */
  readonly modified: number
  readonly content: Buffer
}

const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '5': 'directory',
  '2': 'link',
}

/** Reads a tar in the ustar format (POSIX.1-1988); other kinds of entry are an error. */
export function readTar(bytes: Buffer): readonly TarEntry[] {
  const entries: TarEntry[] = []
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.subarray(at, at + 512)
    const text = (from: number, length: number): string =>
      header.toString('utf8', from, from + length).replace(/\0.*$/s, '')
    const octal = (from: number, length: number): number => Number.parseInt(text(from, length), 8)
    if (text(257, 6) !== 'ustar') throw new Error(`no ustar header at ${at}`)
    const sum = header.reduce((all, byte, i) => all + (i >= 148 && i < 156 ? 32 : byte), 0)
    if (sum !== octal(148, 8)) throw new Error(`wrong checksum at ${at}`)
    const type = types[text(156, 1)]
    if (type === undefined) throw new Error(`entry of type ${text(156, 1)} at ${at}`)
    const prefix = text(345, 155)
    const size = octal(124, 12)
    entries.push({
      path: `${prefix === '' ? '' : `${prefix}/`}${text(0, 100)}`
        .replace(/^\.\//, '')
        .replace(/\/$/, ''),
      type,
      mode: octal(100, 8),
      uid: octal(108, 8),
      gid: octal(116, 8),
      modified: octal(136, 12),
      content: bytes.subarray(at + 512, at + 512 + size),
    })
    at += 512 + Math.ceil(size / 512) * 512
  }
  return entries
}
