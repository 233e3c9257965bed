import test from 'ava'
import type { Command } from 'commander'
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { auditCommand } from '../../cmd/latchkey/audit.ts'
import { backupCommand } from '../../cmd/latchkey/backup.ts'
import { devCommand } from '../../cmd/latchkey/dev.ts'
import { doctorCommand } from '../../cmd/latchkey/doctor.ts'
import { enrollCommand } from '../../cmd/latchkey/enroll.ts'
import { etcdCommand } from '../../cmd/latchkey/etcd.ts'
import { examples } from '../../cmd/latchkey/examples.ts'
import { explainCommand } from '../../cmd/latchkey/explain.ts'
import { keysCommand } from '../../cmd/latchkey/keys.ts'
import { lintCommand } from '../../cmd/latchkey/lint.ts'
import { secretCommand } from '../../cmd/latchkey/secret.ts'
import { statusCommand } from '../../cmd/latchkey/status.ts'
import { commandsIn, findCommand, optionsOf } from '../support/command-lines.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const project = join(import.meta.dirname, '..', '..')
const roots = [
  ...[auditCommand(), backupCommand(), devCommand(), doctorCommand(), enrollCommand()],
  ...[etcdCommand(), explainCommand(), keysCommand(), lintCommand(), secretCommand()],
  statusCommand(),
]

test('every example names the command whose help it is in, and options that it has', (t) => {
  for (const [path, lines] of Object.entries(examples)) {
    const command = findCommand(roots, path.split(' '))?.command
    for (const line of lines) {
      const [words = []] = commandsIn(line)
      const found = findCommand(roots, words)
      t.is(found?.command, command, line)
      if (found !== undefined) parses(found, line)
    }
  }
  function parses(found: { command: Command; rest: readonly string[] }, line: string): void {
    const known = optionsOf(found.command)
    const operands = [...found.rest]
    for (const word of found.rest.filter((it) => it.startsWith('-') && it !== '-')) {
      const option = known.find(({ long, short }) => [long, short].includes(word))
      t.truthy(option, `${line}: ${word}`)
      operands.splice(operands.indexOf(word), option?.isBoolean() === true ? 1 : 2)
    }
    const { registeredArguments } = found.command
    const required = registeredArguments.filter((it) => it.required).length
    t.true(operands.length >= required && operands.length <= registeredArguments.length, line)
  }
})

test('whatever has options has an example, and its help shows it', async (t) => {
  const without: string[] = []
  const visit = (command: Command, path: string): void => {
    const leaf = command.commands.length === 0
    if (leaf && examples[path] === undefined) without.push(path)
    for (const below of command.commands) visit(below, `${path} ${below.name()}`)
  }
  for (const root of roots) visit(root, root.name())
  t.deepEqual(without, [])
  const { stdout } = await run('latchkey keys init --help', project)
  for (const line of examples['keys init'] ?? []) t.true(stdout.includes(`\n  ${line}\n`), line)
})

test('what makes a keyring, its backup and a secret runs as in the examples', async (t) => {
  const directory = await temporaryDirectory(t)
  const files = { keyring: join(directory, 'keyring'), root: `file:${join(directory, 'root.key')}` }
  await writeFile(join(directory, 'kms.yaml'), stringify(files))
  const store = { store: 'store', 'store-root': 'file:store-root/root.key' }
  await writeFile(join(directory, 'secrets.yaml'), stringify(store))
  await writeFile(join(directory, 'backup.passphrase'), 'correct horse battery', { mode: 0o600 })
  await writeFile(join(directory, 'password.txt'), 'first')
  await writeFile(join(directory, 'web.yaml'), manifest)
  for (const name of ['shares', 'store-root']) await mkdir(join(directory, name), { mode: 0o700 })
  const paths = ['keys init', 'keys backup', 'keys restore', 'secret set', 'secret remove', 'lint']
  const lines = paths.flatMap((path) => examples[path] ?? [])
  const script = lines
    .filter((line) => !/kubectl|snapshot\.db/.test(line))
    .map((line) => line.replaceAll('/etc/latchkey/kms.yaml', 'kms.yaml'))
    // Where there is no terminal, what removes is confirmed beforehand.
    .map((line) => line.replace(/^latchkey secret remove/, '$& --yes'))
  t.is(script.length, 9)
  await run(['set -euo pipefail', ...script].join('\n'), directory)
  t.pass()
})

const manifest = `apiVersion: v1
kind: Pod
metadata:
  name: web-0
  annotations:
    latchkey.dev/secrets: |
      - { secret: db, key: password, path: /etc/secrets/password }
spec:
  containers: [{ name: app, image: app }]
`

async function run(script: string, cwd: string): Promise<{ stdout: string }> {
  const PATH = `${join(project, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`
  return promisify(execFile)('bash', ['-c', script], { cwd, env: { ...process.env, PATH } })
}
