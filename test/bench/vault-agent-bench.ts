import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../e2e/support/binaries.ts'
import { startChild, type Child } from '../e2e/support/child.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { freePort, measureUpdates, settle, timeStart, type AgentFigures } from './agent-figures.ts'
import { usageOf } from './process-usage.ts'

const value = 'first'
/** By default it asks every five minutes; told of less than a second, it asks every second. */
const askEvery = '1s'
/** So many updates take it so many seconds. */
const mostUpdates = 100

/** `vault agent` doing the same job: one key of one secret of a KV store to one file. */
export async function measureVaultAgent(
  ground: Ground,
  options: { readonly starts: number; readonly updates: number },
): Promise<AgentFigures | undefined> {
  const vault = await binary('vault').catch((error: unknown) => {
    console.error(`without vault agent: ${error instanceof Error ? error.message : 'not built'}`)
    return undefined
  })
  if (vault === undefined) return undefined
  const address = `http://127.0.0.1:${await freePort()}`
  const token = 'bench-root-token'
  const server = startChild(ground, {
    name: 'vault-server',
    command: vault,
    args: ['server', '-dev', `-dev-listen-address=${address.slice('http://'.length)}`],
    env: { VAULT_DEV_ROOT_TOKEN_ID: token },
  })
  await put({ address, token }, value)
  const out = join(ground.dir, 'vault-out')
  const file = join(out, 'password')
  const tokenFile = join(ground.dir, 'vault-token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  const config = join(ground.dir, 'vault-agent.hcl')
  await writeFile(
    config,
    `vault { address = "${address}" }
template_config { static_secret_render_interval = "${askEvery}" }
auto_auth { method "token_file" { config = { token_file_path = "${tokenFile}" } } }
template {
  contents = "{{ with secret \\"secret/data/db\\" }}{{ .Data.data.password }}{{ end }}"
  destination = "${file}"
  perms = 0400
}
`,
  )
  const start = async (): Promise<Child> => {
    await rm(out, { recursive: true, force: true })
    await mkdir(out)
    const args = ['agent', `-config=${config}`, '-log-level=warn']
    return startChild(ground, { name: 'vault-agent', command: vault, args })
  }
  const startMs: number[] = []
  for (let count = 0; count < options.starts; count += 1) {
    const child = await timeStart({ start, file, value }, startMs)
    await child.stop()
  }
  const child = await timeStart({ start, file, value }, [])
  await settle()
  const idle = usageOf(child.pid)
  const updates = await measureUpdates(child, {
    count: Math.min(options.updates, mostUpdates),
    file,
    write: (next) => put({ address, token }, next),
  })
  await child.stop()
  await server.stop()
  return { name: 'vault agent', startMs, idle, ...updates }
}

/** Writes the secret, and waits for the server if it does not listen yet. */
async function put(
  vault: { readonly address: string; readonly token: string },
  password: string,
): Promise<number> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    try {
      const { ok } = await fetch(`${vault.address}/v1/secret/data/db`, {
        method: 'POST',
        headers: { 'x-vault-token': vault.token },
        body: JSON.stringify({ data: { password } }),
      })
      if (ok) return performance.now()
    } catch {
      // It is not listening yet.
    }
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error('the vault server took no secret')
}
