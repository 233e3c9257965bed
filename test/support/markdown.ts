/** A fenced block of a Markdown document. */
export interface Block {
  /** First word after the fence, e.g. `sh`. */
  readonly language: string
  /** The words after it. */
  readonly words: readonly string[]
  readonly text: string
  /** Line of the opening fence, from 1. */
  readonly line: number
}

/** Every fenced block, in order. Throws for one that is never closed. */
export function fencedBlocks(markdown: string): readonly Block[] {
  const blocks: Block[] = []
  let open: { language: string; words: string[]; line: number; lines: string[] } | undefined
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line)
    if (fence === null) {
      open?.lines.push(line)
    } else if (open === undefined) {
      const [language = '', ...words] = (fence[1] ?? '').trim().split(/\s+/)
      open = { language, words, line: index + 1, lines: [] }
    } else {
      const { lines, ...rest } = open
      blocks.push({ ...rest, text: lines.map((it) => `${it}\n`).join('') })
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`line ${open.line}: a fence that is never closed`)
  return blocks
}

/** A heading and what stands under it, up to the next heading of any level. */
export interface Section {
  readonly heading: string
  readonly blocks: readonly Block[]
}

/** The document's sections, in order. */
export function sections(markdown: string): readonly Section[] {
  const headings = [...markdown.matchAll(/^#+ (.+)$|^```[\s\S]*?^```$/gm)].flatMap(
    ({ 1: heading, index }) =>
      heading === undefined ? [] : [{ heading, line: markdown.slice(0, index).split('\n').length }],
  )
  const blocks = fencedBlocks(markdown)
  return headings.map(({ heading, line }, index) => {
    const next = headings[index + 1]?.line ?? Infinity
    return { heading, blocks: blocks.filter((block) => block.line > line && block.line < next) }
  })
}

/** Targets of every link outside code. */
export function links(markdown: string): readonly string[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/(`+)[^`].*?\1/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** The anchors that headings have on the usual hosts. */
export function anchors(markdown: string): readonly string[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '')
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
