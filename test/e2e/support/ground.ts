import type { TestFn } from 'ava'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What one test file stands on: a directory, a loopback network, and an order to clear up in. */
export interface Ground {
  /** A directory of its own, mode 0700, gone after the file's tests unless one failed. */
  readonly dir: string
  /** Aborted when the ground closes. */
  readonly signal: AbortSignal
  /**
   * Address number `n`, 1 to 254, of a loopback network that no other ground uses: every server
   * can have its usual port, and no port is ever looked for, and lost, to a race.
   */
  host(n: number): string
  /** Registers what to do when the ground closes; the last registered runs first. */
  defer(what: string, close: () => Promise<void> | void): void
}

/** A ground and how to end it. */
export interface OpenGround {
  readonly ground: Ground
  /** Runs everything that was deferred; with `keep`, the directory stays, and its path is told. */
  readonly close: (options: { readonly keep: boolean }) => Promise<void>
}

let opened = 0

/** Beginning of the addresses of a network: processes that run at once have different numbers. */
function nextNetwork(): string {
  // Far apart for the grounds of one process, as numbers of processes that run at once are not.
  const number = (process.pid + 16_411 * opened++) % (254 * 255)
  return `127.${1 + Math.floor(number / 255)}.${number % 255}`
}

/** Opens a ground for whoever closes it. */
export function openGround(): OpenGround {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-e2e-'))
  const network = nextNetwork()
  const abort = new AbortController()
  const closers: { what: string; close: () => Promise<void> | void }[] = []
  const ground: Ground = {
    dir,
    signal: abort.signal,
    host: (n) => `${network}.${n}`,
    defer: (what, close) => {
      closers.push({ what, close })
    },
  }
  const close: OpenGround['close'] = async ({ keep }) => {
    abort.abort(new Error('the ground is closing'))
    const problems: Error[] = []
    for (const { what, close: closeOne } of closers.reverse()) {
      try {
        await closeOne()
      } catch (error) {
        problems.push(new Error(`closing ${what}`, { cause: error }))
      }
    }
    if (keep) console.error(`something failed: logs and data are left in ${dir}`)
    else await rm(dir, { recursive: true, force: true })
    if (problems.length > 0) throw new AggregateError(problems, 'the ground did not close')
  }
  return { ground, close }
}

/**
 * The ground of one test file. Call it once, at the top of the file; it closes after the file's
 * last test, failed or not.
 */
export function useGround<Context>(test: TestFn<Context>): Ground {
  const { ground, close } = openGround()
  let [reached, failed] = [false, false]
  test.afterEach.always('the outcome is noted', (t) => {
    if (!t.passed) failed = true
  })
  // Not reached when a hook before the tests fails.
  test.after('the tests were run', () => {
    reached = true
  })
  test.after.always('everything stops', async () => {
    await close({ keep: failed || !reached })
  })
  return ground
}
