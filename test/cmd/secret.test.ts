import test, { type ExecutionContext } from 'ava'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const program = fileURLToPath(new URL('../../cmd/latchkey.ts', import.meta.url))

interface Ran {
  readonly code: number | null
  readonly stderr: string
}

async function set(
  t: ExecutionContext,
  at: string,
  { stdin = '', flags = [] }: { readonly stdin?: string; readonly flags?: readonly string[] },
): Promise<Ran> {
  const store = ['--store', join(at, 'store'), '--store-root', `file:${join(at, 'roots/root')}`]
  const args = [program, 'secret', 'set', 'shop/db', 'password', ...store, ...flags]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  child.stdin.end(stdin)
  const said = text(child.stderr)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stderr: await said }
}

test('an empty value is refused, and nothing is made', async (t) => {
  const at = await temporaryDirectory(t)
  const file = join(at, 'empty')
  await writeFile(file, '')
  for (const given of [
    {},
    { flags: ['--from-file', file] },
    { stdin: '\n', flags: ['--chomp'] },
  ] as const) {
    const { code, stderr } = await set(t, at, given)
    t.is(code, 2, stderr)
    t.regex(stderr, /^error: the value is empty \(ERR_USAGE\)\nhint: .*--allow-empty/m)
  }
  await t.throwsAsync(access(join(at, 'store')), { code: 'ENOENT' })
})

test('an empty value is taken from whoever says that it is meant', async (t) => {
  const at = await temporaryDirectory(t)
  const empty = await set(t, at, { flags: ['--allow-empty'] })
  t.is(empty.code, 0, empty.stderr)
  t.regex(empty.stderr, /shop\/db is a new secret, with the key password/)
  const full = await set(t, at, { stdin: 'hunter2', flags: ['--allow-empty'] })
  t.is(full.code, 0, full.stderr)
})
