// Reopens the files of a set again and again, through one resolved link each time, and counts.
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import type { ReaderCounts } from './readers.test.ts'

const { directory, shared } = workerData as { directory: string; shared: Int32Array }
const counts: ReaderCounts = { whole: 0, mixed: 0, gone: 0, straddled: 0, versions: 0 }
const versions = new Set<string>()
while (Atomics.load(shared, 0) === 1) {
  try {
    const generation = join(directory, readlinkSync(join(directory, '..data')))
    const [first, second] = ['cert', 'key'].map((name) =>
      readFileSync(join(generation, name), 'utf8'),
    )
    versions.add(first ?? '')
    if (first === second) counts.whole += 1
    else counts.mixed += 1
  } catch (error) {
    // Two swaps later the generation is gone: the reader resolves the link again.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    counts.gone += 1
  }
  try {
    const before = readFileSync(join(directory, '..version'), 'utf8')
    const [first, second] = ['cert', 'key'].map((name) =>
      readFileSync(join(directory, name), 'utf8'),
    )
    const after = readFileSync(join(directory, '..version'), 'utf8')
    if (before === after && first !== second) counts.straddled += 1
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  Atomics.store(shared, 1, counts.whole + counts.gone)
  Atomics.store(shared, 2, versions.size)
}
parentPort?.postMessage({ ...counts, versions: versions.size })
