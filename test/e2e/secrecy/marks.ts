/** Something secret that a test planted, and every spelling in which it might come out. */
export interface Mark {
  readonly name: string
  readonly spellings: readonly string[]
}

/**
 * The spellings of `bytes`: raw, hexadecimal, base64 and base64url at each of the three alignments,
 * and a list of numbers.
 */
export function markOf(name: string, bytes: Uint8Array): Mark {
  const buffer = Buffer.from(bytes)
  const hex = buffer.toString('hex')
  const aligned = [0, 1, 2].map((shift) => {
    const padded = Buffer.concat([Buffer.alloc(shift), buffer])
    // Characters at the ends also carry bits of their neighbours: leave those out.
    return padded
      .toString('base64')
      .replace(/=+$/, '')
      .slice(shift === 0 ? 0 : shift + 1, -1)
  })
  const spellings = [
    buffer.toString('latin1'),
    hex,
    hex.toUpperCase(),
    ...aligned,
    ...aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    [...buffer].join(','),
  ]
  return { name, spellings: [...new Set(spellings)] }
}

/** Names of the marks that occur in `text`, which is bytes read as Latin-1, however it is spaced. */
export function marksIn(text: string, marks: readonly Mark[]): readonly string[] {
  const squeezed = text.replaceAll(/\s+/g, '')
  const occurs = (spelling: string): boolean =>
    text.includes(spelling) || squeezed.includes(spelling)
  return marks.filter(({ spellings }) => spellings.some(occurs)).map(({ name }) => name)
}
