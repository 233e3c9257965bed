import { LatchkeyError } from '../base/errors.ts'

/** A command as completion needs it. */
export interface CommandTree {
  readonly name: string
  readonly description: string
  /** Long option names with their dashes. */
  readonly options: readonly string[]
  readonly commands: readonly CommandTree[]
}

/** Shells that completion scripts are made for. */
export const shells = ['bash', 'zsh', 'fish'] as const

/**
 * A completion script for `shell`. It is made of the command tree alone and never runs the program,
 * so that completing costs nothing and needs no keyring.
 *
 * @throws `ERR_USAGE` for another shell.
 */
export function completionScript(shell: string, tree: CommandTree): string {
  switch (shell) {
    case 'bash':
      return bashScript(tree)
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(tree)}`
    case 'fish':
      return fishScript(tree)
    default:
      throw new LatchkeyError('ERR_USAGE', 'completion for this shell is not known', {
        hint: `use one of ${shells.join(', ')}`,
      })
  }
}

interface Place {
  /** Words after the program's name. */
  readonly path: readonly string[]
  readonly tree: CommandTree
}

function places(tree: CommandTree, path: readonly string[] = []): readonly Place[] {
  return [
    { path, tree },
    ...tree.commands.flatMap((command) => places(command, [...path, command.name])),
  ]
}

function bashScript(tree: CommandTree): string {
  const cases = places(tree).map(({ path, tree: { commands, options } }) => {
    const words = [...commands.map(({ name }) => name), ...options].join(' ')
    return `    '${path.join(' ')}') words='${words}' ;;`
  })
  return `_${tree.name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) break ;; esac
    path="\${path:+$path }$word"
  done
  while :; do
    case $path in
${cases.map((line) => line.replace('    ', '      ')).join('\n')}
    esac
    [ -n "$words" ] && break
    case $path in *' '*) path=\${path% *} ;; *) break ;; esac
  done
  case \${COMP_WORDS[COMP_CWORD-1]} in
    --*) COMPREPLY=($(compgen -f -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
}
complete -o filenames -F _${tree.name} ${tree.name}
`
}

function fishScript(tree: CommandTree): string {
  const quote = (text: string): string =>
    `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const lines = places(tree).flatMap(({ path, tree: { commands, options } }) => {
    const names = commands.map(({ name }) => name).join(' ')
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`)
    const here = [...seen, ...(names === '' ? [] : [`not __fish_seen_subcommand_from ${names}`])]
    const condition = here.length === 0 ? '' : ` -n ${quote(here.join('; and '))}`
    const on = `complete -c ${tree.name}${condition}`
    return [
      ...commands.map(({ name, description }) => `${on} -f -a ${name} -d ${quote(description)}`),
      ...options.map((option) => `${on} -l ${option.slice(2)}`),
    ]
  })
  return `${lines.join('\n')}\n`
}
