import test from 'ava'
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, read, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openLineOutput } from '../../cmd/line-output.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test.serial('every line arrives whole and in order', async (t) => {
  const file = join(await temporaryDirectory(t), 'log')
  const descriptor = openSync(file, 'a', 0o600)
  const output = openLineOutput(descriptor)
  const lines = Array.from({ length: 2_000 }, (_, i) => `${i} ${'x'.repeat(i % 100)}\n`)
  for (const line of lines.slice(0, 1_000)) output.write(line)
  await output.close()
  for (const line of lines.slice(1_000)) output.write(line)
  await output.close()
  closeSync(descriptor)
  t.is(readFileSync(file, 'utf8'), lines.join(''))
})

test.serial('a reader who is stuck loses lines, and holds nobody up', async (t) => {
  const fifo = join(await temporaryDirectory(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  // Open for both, so that nobody waits for the other end; and nobody reads.
  const descriptor = openSync(fifo, 'r+')
  const output = openLineOutput(descriptor)
  for (let i = 0; i < 100; i += 1) output.write('x'.repeat(65_536))
  const begin = performance.now()
  await output.close()
  t.true(performance.now() - begin < 30_000)
  // What was held is all that comes.
  const buffer = Buffer.alloc(65_536)
  for (let got = 0; got < 1 << 20;) {
    got += (await promisify(read)(descriptor, buffer, 0, buffer.byteLength, null)).bytesRead
  }
  await output.close()
  closeSync(descriptor)
})

test.serial('a reader who is gone is no problem', async (t) => {
  const file = join(await temporaryDirectory(t), 'log')
  writeFileSync(file, '')
  // Writing fails at once, as to a pipe without a reader.
  const descriptor = openSync(file, 'r')
  const output = openLineOutput(descriptor)
  output.write('x\n')
  await output.close()
  closeSync(descriptor)
  t.is(readFileSync(file, 'utf8'), '')
})
