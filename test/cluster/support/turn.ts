import type { TestFn } from 'ava'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../../src/base/errors.ts'
import { until } from '../../e2e/support/until.ts'
import type { Cluster } from './use-cluster.ts'

/**
 * Waits until no other test file changes the cluster as a whole, and resolves with how to end the
 * turn. Files are processes, so it is a directory that one of them can make.
 */
export async function takeTurn(cluster: Cluster): Promise<() => Promise<void>> {
  const lock = join(cluster.directory, 'turn')
  const holder = join(lock, 'pid')
  const take = async (): Promise<boolean> => {
    try {
      await mkdir(lock)
      await writeFile(holder, String(process.pid))
      return true
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
    const pid = await readFile(holder, 'utf8').catch(() => '')
    // One that was killed does not give it back.
    if (pid !== '' && !existsSync(`/proc/${pid}`)) await rm(lock, { recursive: true, force: true })
    return false
  }
  await until('the other test files', take, { timeoutMs: 800_000, everyMs: 200 })
  return async () => {
    await rm(lock, { recursive: true, force: true })
  }
}

/** Takes a turn for all tests of a file. */
export function takeTurnsWith<Context>(test: TestFn<Context>, cluster: Cluster): void {
  let end: (() => Promise<void>) | undefined
  test.before('nobody else changes the cluster', async () => {
    end = await takeTurn(cluster)
  })
  test.after.always('the next one may', async () => {
    await end?.()
  })
}
