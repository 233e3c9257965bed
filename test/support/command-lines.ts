import type { Command } from 'commander'

/** Each `latchkey …` of a shell block, in words, over continued lines and behind what runs it. */
export function commandsIn(script: string): readonly (readonly string[])[] {
  return (
    script
      .replaceAll(/\\\n\s*/g, ' ')
      .split(/\n|&&|\|/)
      // Names of users and roles are no commands of ours.
      .filter((line) => !/^\s*etcdctl /.test(line))
      .flatMap((line) => /(?:^|\s|\/)latchkey ((?!--).*)$/.exec(line)?.[1] ?? [])
      .map((rest) => rest.trim().split(/\s+/))
  )
}

/** The command among `roots`, and below them, that `words` name, and what follows its name. */
export function findCommand(
  roots: readonly Command[],
  words: readonly string[],
): { command: Command; rest: readonly string[] } | undefined {
  let commands = roots
  let command: Command | undefined
  for (const [index, word] of words.entries()) {
    const next = commands.find((it) => it.name() === word)
    if (next === undefined) return command && { command, rest: words.slice(index) }
    command = next
    commands = next.commands
  }
  return command && { command, rest: [] }
}

/** Its own options, and those of the command above it that it takes as well. */
export function optionsOf(command: Command): Command['options'] {
  return [...command.options, ...(command.parent?.options ?? [])]
}
