import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { LatchkeyError, isLatchkeyError } from '../base/errors.ts'

const socketName = 'lock'
/** Longest path of a socket, and what a name for the time of binding adds to that of its directory. */
const [maxSocketPathBytes, temporaryNameBytes] = [107, 13]
/** What a live sidecar says to whoever asks. */
const greeting = 'latchkey-sidecar\n'
/** How long a sidecar may take to end that was told to, and a little more. */
const waitMs = 15_000
const [askEveryMs, answerWithinMs] = [250, 5_000]

/** A directory of state that is one sidecar's as long as its process lives. */
export interface StateClaim {
  release(): Promise<void>
}

/** What {@link claimState} works with. */
export interface ClaimDeps {
  /** Listens on a unix socket, as `listenUnix` of `net` does. */
  readonly listen: (
    path: string,
    onConnection: (socket: Socket) => void,
  ) => Promise<{ stop(): Promise<void> }>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told once when another sidecar is there and it waits. */
  readonly onWait: () => void
}

/**
 * Takes a directory of state for this process, by listening on a socket in it: the kernel ends that
 * with the process, however it ends. Waits for a sidecar that is about to stop.
 *
 * A start is refused only where another sidecar is alive, which it must say itself: a process that
 * was killed and is not gone, or hangs, answers nobody.
 *
 * @returns `undefined` when it could not be taken, and nobody else has it either: where the directory
 * is writable by others, as a volume of a pod is, its path is too long for a socket, or the file
 * system has none.
 * @throws `ERR_BUSY` when another sidecar has it.
 */
export async function claimState(
  directory: string,
  deps: ClaimDeps,
): Promise<StateClaim | undefined> {
  const { listen, clock, signal, onWait } = deps
  if (Buffer.byteLength(directory) + temporaryNameBytes > maxSocketPathBytes) return undefined
  const path = join(directory, socketName)
  const deadline = clock.monotonicMs() + waitMs
  for (let told = false; !signal.aborted; told = true) {
    try {
      const listener = await listen(path, greet)
      return { release: () => listener.stop() }
    } catch (error) {
      if (!isLatchkeyError(error)) throw error
      if (error.code !== 'ERR_SOCKET_IN_USE' || !(await answers(path))) return undefined
      if (clock.monotonicMs() >= deadline) throw busy(directory)
    }
    if (!told) onWait()
    await clock.sleep(askEveryMs, signal).catch(() => undefined)
  }
  return undefined
}

function busy(directory: string): LatchkeyError {
  return new LatchkeyError('ERR_BUSY', `another latchkey-sidecar keeps its state in ${directory}`, {
    hint: 'stop that one, or give this one a directory of its own with --state',
  })
}

function greet(socket: Socket): void {
  socket.on('error', () => undefined)
  socket.end(greeting, () => socket.destroy())
}

/** Whether a sidecar listens at `path` and is alive. */
async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path)
    let heard = ''
    const finish = (): void => {
      socket.destroy()
      resolve(heard === greeting)
    }
    socket.setTimeout(answerWithinMs, finish)
    socket.once('error', finish)
    socket.once('close', finish)
    socket.on('data', (data: Buffer) => {
      heard += data.toString('latin1')
      if (heard.length >= greeting.length) finish()
    })
  })
}
