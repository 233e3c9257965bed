import { LatchkeyError, systemCode } from '../../base/errors.ts'
import type { Hook } from '../../injection/plan.ts'

/** How long a call may take, in milliseconds. */
const deadlineMs = 10_000
const maxAnswerBytes = 64 * 1024

/**
 * Calls a server in the same pod. `localhost` is called by address, so that no resolver and no hosts
 * file can lead elsewhere; redirects are not followed, for the same reason.
 *
 * @throws `ERR_HOOK_FAILED` unless the answer's status is 200 to 299.
 */
export async function callHttp(
  hook: Extract<Hook, { readonly kind: 'http' }>,
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(hook.url)
  const hosts = url.hostname === 'localhost' ? ['127.0.0.1', '::1'] : [url.hostname]
  let failure: unknown
  for (const host of hosts) {
    try {
      const status = await call(
        { url, host: host.replace(/^\[|\]$/g, ''), method: hook.method },
        signal,
      )
      if (status >= 200 && status <= 299) return
      throw new LatchkeyError('ERR_HOOK_FAILED', `${hook.url} answered with status ${status}`)
    } catch (error) {
      failure = error
      // Only where nobody listens is the other address worth a try.
      if (systemCode(error) !== 'ECONNREFUSED') break
    }
  }
  signal.throwIfAborted()
  if (failure instanceof LatchkeyError) throw failure
  throw new LatchkeyError('ERR_HOOK_FAILED', `${hook.url} cannot be called`, { cause: failure })
}

async function call(
  target: { readonly url: URL; readonly host: string; readonly method: string },
  signal: AbortSignal,
): Promise<number> {
  const { url, host, method } = target
  const limit = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)])
  // Late: it is 2 MB of private memory that a pod without such a hook need not have.
  const { request } = await import('node:http')
  return await new Promise((resolve, reject) => {
    const outgoing = request({
      host,
      port: url.port === '' ? 80 : Number(url.port),
      path: `${url.pathname}${url.search}`,
      method,
      headers: { host: url.host, 'content-length': 0, 'user-agent': 'latchkey-sidecar' },
      agent: false,
      signal: limit,
    })
    outgoing.once('error', reject)
    outgoing.once('response', (response) => {
      let received = 0
      response.on('data', (chunk: Buffer) => {
        received += chunk.byteLength
        if (received > maxAnswerBytes) response.destroy()
      })
      response.once('error', reject)
      response.once('close', () => {
        resolve(response.statusCode ?? 0)
      })
    })
    outgoing.end()
  })
}
