import test from 'ava'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { backupCommand } from '../../cmd/latchkey/backup.ts'
import { doctorCommand } from '../../cmd/latchkey/doctor.ts'
import { etcdCommand } from '../../cmd/latchkey/etcd.ts'
import { keysCommand } from '../../cmd/latchkey/keys.ts'
import { statusCommand } from '../../cmd/latchkey/status.ts'
import { commandsIn, findCommand, optionsOf } from '../support/command-lines.ts'
import { fencedBlocks } from '../support/markdown.ts'

// What the guides of the keyring tell to type is something that the programs take.

const project = join(import.meta.dirname, '..', '..')
const roots = [keysCommand(), backupCommand(), etcdCommand(), doctorCommand(), statusCommand()]

test('every command in a guide exists, with every option that it is given', async (t) => {
  let seen = 0
  for await (const path of glob('deploy/guides/*.md', { cwd: project })) {
    for (const { language, text, line } of fencedBlocks(await readFile(join(project, path), 'utf8'))) {
      const script = language === 'sh' ? text : text.replaceAll('ExecStart=', '')
      if (language !== 'sh' && language !== 'ini') continue
      for (const words of commandsIn(script)) {
        const where = `${path}:${line}: latchkey ${words.join(' ')}`
        const found = findCommand(roots, words)
        if (found === undefined) {
          // Commands of other parts have tests of their own.
          t.true(['lint', 'explain', 'enroll', 'secret', 'delivery', 'dev'].includes(words[0] ?? ''), where)
          continue
        }
        seen += 1
        const { command, rest } = found
        if (roots.includes(command) && command.commands.length > 0) {
          t.fail(`${where}: names no command`)
        }
        for (const word of rest.filter((it) => it.startsWith('-'))) {
          const known = optionsOf(command).some(({ long, short }) => [long, short].includes(word))
          t.true(known, `${where}: ${word}`)
        }
      }
    }
  }
  t.true(seen > 10)
})

test('the configuration in the guide to rotation names options of keys rotate', async (t) => {
  const rotate = keysCommand().commands.find((it) => it.name() === 'rotate')
  const text = await readFile(join(project, 'deploy/guides/rotation.md'), 'utf8')
  const blocks = fencedBlocks(text).filter(({ language }) => language === 'yaml')
  t.is(blocks.length, 1)
  for (const key of Object.keys(parse(blocks[0]?.text ?? '') as object)) {
    t.true(rotate?.options.some(({ long }) => long === `--${key}`), key)
  }
})
