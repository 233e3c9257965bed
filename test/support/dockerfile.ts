/** One instruction of a Dockerfile. */
export interface Instruction {
  /** In capitals, e.g. `COPY`. */
  readonly name: string
  /** Words starting with `--`. */
  readonly flags: readonly string[]
  /** The other words. */
  readonly words: readonly string[]
}

/** One `FROM … AS name` and what follows it. */
export interface Stage {
  readonly name: string | undefined
  /** With the defaults of the build arguments filled in. */
  readonly image: string
  readonly instructions: readonly Instruction[]
}

/** Reads as much of the Dockerfile language as ours uses; an instruction it does not know is an error. */
export function parseDockerfile(text: string): readonly Stage[] {
  const instructions = text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map(parseInstruction)
  const defaults = new Map<string, string>()
  const stages: { name: string | undefined; image: string; instructions: Instruction[] }[] = []
  for (const instruction of instructions) {
    const { name, words } = instruction
    if (name === 'FROM') {
      const image = (words[0] ?? '').replaceAll(/\$\{(\w+)\}/g, (_, it: string) => {
        const value = defaults.get(it)
        if (value === undefined) throw new Error(`FROM uses ${it}, which has no default`)
        return value
      })
      stages.push({
        image,
        name: words[1]?.toUpperCase() === 'AS' ? words[2] : undefined,
        instructions: [],
      })
    } else if (stages.length === 0 && name === 'ARG') {
      const [key = '', ...value] = (words[0] ?? '').split('=')
      defaults.set(key, value.join('='))
    } else {
      const stage = stages.at(-1)
      if (stage === undefined) throw new Error(`${name} comes before FROM`)
      stage.instructions.push(instruction)
    }
  }
  return stages
}

const known = ['ARG', 'FROM', 'WORKDIR', 'COPY', 'RUN', 'ENV', 'USER', 'CMD']

function parseInstruction(line: string): Instruction {
  const [name = '', ...rest] = line.trim().split(/\s+/)
  if (!known.includes(name)) throw new Error(`unknown instruction: ${line}`)
  const isFlag = (word: string): boolean => name === 'COPY' && word.startsWith('--')
  return {
    name,
    flags: rest.filter(isFlag),
    words: rest.filter((word) => !isFlag(word)),
  }
}
