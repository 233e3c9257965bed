import { openGround, type Ground } from '../e2e/support/ground.ts'

/** Runs `body` on a ground of its own and closes it afterwards. */
export async function withGround(body: (ground: Ground) => Promise<void>): Promise<void> {
  const { ground, close } = openGround()
  let done = false
  try {
    await body(ground)
    done = true
  } finally {
    await close({ keep: !done })
  }
}
