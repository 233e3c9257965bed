import test from 'ava'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { useGround } from '../support/ground.ts'
import { runOk, runProgram } from '../support/run-program.ts'

const ground = useGround(test)
const source = join(import.meta.dirname, '../../../deploy/systemd')
const units = ['latchkey-kms.service', 'latchkey-kms.socket']
const dropIns = { 'metrics.conf': units[0], 'sealed-root.conf': units[0], 'socket-group.conf': units[1] }
/** Exposure of the service as systemd rates it, of 100, at most. */
const worst = 5

let folder: string

test.before(async () => {
  // systemd-analyze wants the program of ExecStart to be there.
  folder = join(ground.dir, 'units')
  await mkdir(join(ground.dir, 'bin'))
  await mkdir(folder)
  const program = join(ground.dir, 'bin', 'latchkey-kms')
  await writeFile(program, '#!/bin/sh\n')
  await chmod(program, 0o755)
  for (const unit of units) await place(unit, join(folder, unit))
})

async function place(from: string, to: string): Promise<void> {
  const text = await readFile(join(source, from), 'utf8')
  await writeFile(to, text.replaceAll('/opt/latchkey/bin', join(ground.dir, 'bin')))
}

const verify = async (): Promise<string> => {
  const { code, stdout, stderr } = await runProgram(ground, {
    command: 'systemd-analyze',
    args: ['verify', '--man=no', '--recursive-errors=yes', ...units.map((unit) => join(folder, unit))],
  })
  return `${code ?? 'signal'} ${stdout}${stderr}`
}

test.serial('systemd finds nothing wrong with the units, with and without each drop-in', async (t) => {
  t.is(await verify(), '0 ')
  for (const [name, unit] of Object.entries(dropIns)) {
    await mkdir(join(folder, `${String(unit)}.d`), { recursive: true })
    await place(join('drop-ins', name), join(folder, `${String(unit)}.d`, name))
    t.is(await verify(), '0 ', name)
  }
})

test.serial('systemd would find a misspelt setting', async (t) => {
  const path = join(folder, 'latchkey-kms.service')
  const text = await readFile(path, 'utf8')
  await writeFile(path, text.replace('ProtectSystem=', 'ProtectSytem='))
  t.regex(await verify(), /Unknown key(?: name)? 'ProtectSytem'/)
  await writeFile(path, text)
})

test.serial('systemd rates the service as safe', async (t) => {
  const rating = await runOk(ground, {
    command: 'systemd-analyze',
    args: [
      ...['security', '--offline=true', '--no-pager', `--threshold=${worst}`],
      join(source, 'latchkey-kms.service'),
    ],
  })
  t.regex(rating, /exposure level for latchkey-kms\.service: 0\.[0-5] SAFE/)
})
