import test from 'ava'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { completionScript, type CommandTree } from '../../src/admin/completion.ts'

const leaf = (name: string, options: readonly string[]): CommandTree => ({
  name,
  description: `does ${name}`,
  options,
  commands: [],
})
const tree: CommandTree = {
  name: 'latchkey',
  description: '',
  options: ['--help'],
  commands: [
    {
      ...leaf('keys', ['--help']),
      commands: [leaf('init', ['--keyring', '--root']), leaf('list', ['--output'])],
    },
    leaf('doctor', ['--listen']),
  ],
}

async function complete(...words: readonly string[]): Promise<readonly string[]> {
  const quoted = words.map((word) => `'${word}'`).join(' ')
  const script = `${completionScript('bash', tree)}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _latchkey; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await promisify(execFile)('bash', ['-c', script])
  return stdout.split('\n').filter((word) => word !== '')
}

test('bash completes commands, their commands, and options', async (t) => {
  t.deepEqual(await complete('latchkey', ''), ['keys', 'doctor', '--help'])
  t.deepEqual(await complete('latchkey', 'ke'), ['keys'])
  t.deepEqual(await complete('latchkey', 'keys', 'i'), ['init'])
  t.deepEqual(await complete('latchkey', 'keys', 'init', '--'), ['--keyring', '--root'])
  t.deepEqual(await complete('latchkey', 'keys', 'init', 'x', '--r'), ['--root'])
})

test('zsh gets the same script, fish one line a word', (t) => {
  t.true(completionScript('zsh', tree).endsWith(completionScript('bash', tree)))
  const fish = completionScript('fish', tree)
  t.regex(fish, /-a init -d 'does init'/)
  t.regex(fish, /__fish_seen_subcommand_from keys; and __fish_seen_subcommand_from init' -l root/)
})

test('another shell is refused', (t) => {
  t.throws(() => completionScript('csh', tree), { code: 'ERR_USAGE' })
})
