import test from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { runLatchkey } from '../support/kms-process.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const program = fileURLToPath(new URL('../../cmd/latchkey.ts', import.meta.url))

test.serial(
  'words that nobody hears do not make a command fail that has done its work',
  async (t) => {
    const at = await temporaryDirectory(t)
    const full = await open('/dev/full', 'w')
    const args = [
      'keys',
      'init',
      '--keyring',
      join(at, 'ring'),
      '--root',
      `file:${join(at, 'root')}`,
    ]
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', full.fd],
    })
    const printed = text(child.stdout ?? Readable.from([]))
    const [code] = (await once(child, 'close')) as [number | null]
    await full.close()
    t.is(code, 0)
    t.regex(await printed, /^lk1\.1\./)
  },
)

test.serial(
  'a root that comes through a descriptor opens both keyrings of an adoption',
  async (t) => {
    const at = await temporaryDirectory(t)
    const [file, ours, theirs] = [join(at, 'pass'), join(at, 'ours'), join(at, 'theirs')]
    await writeFile(file, 'correct horse battery\n', { mode: 0o600 })
    for (const keyring of [ours, theirs]) {
      const init = await runLatchkey(
        'keys',
        'init',
        '--keyring',
        keyring,
        '--root',
        `passphrase:${file}`,
      )
      t.is(init.code, 0, init.stderr)
    }
    const args = ['keys', 'adopt', '--keyring', ours, '--from', theirs, '--root', 'passphrase:fd:3']
    const child = spawn(process.execPath, [program, ...args, '--yes'], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    })
    ;(child.stdio[3] as Writable).end('correct horse battery\n')
    const [printed, said] = [
      text(child.stdout ?? Readable.from([])),
      text(child.stderr ?? Readable.from([])),
    ]
    const [code] = (await once(child, 'close')) as [number | null]
    t.is(code, 0, await said)
    t.regex(await printed, /^lk1\.1\./)
  },
)
