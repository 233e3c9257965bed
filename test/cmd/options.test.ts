import test from 'ava'
import { Command } from 'commander'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { settle, withConfig } from '../../cmd/latchkey/options.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('a negated option means the same in the file as on the command line', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const [args, yaml, plaintext] of [
    [[], '', true],
    [['--no-plaintext'], '', false],
    [[], 'no-plaintext: true', false],
    [[], 'no-plaintext: false', true],
    [['--no-plaintext'], 'no-plaintext: false', false],
  ] as const) {
    const file = join(directory, 'config.yaml')
    await writeFile(file, yaml)
    const command = withConfig(new Command('scan')).option('--no-plaintext', 'none')
    await command.parseAsync(['--config', file, ...args], { from: 'user' })
    t.is((await settle<{ plaintext: boolean }>(command, [])).plaintext, plaintext, yaml)
  }
})
