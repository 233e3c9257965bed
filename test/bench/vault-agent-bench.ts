import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binary } from '../e2e/support/binaries.ts'
import { startChild, type Child } from '../e2e/support/child.ts'
import type { Ground } from '../e2e/support/ground.ts'
import { timeStart, settle, freePort, type AgentFigures } from './agent-figures.ts'
import { usageOf } from './process-usage.ts'

const value = 'first'

/** `vault agent` doing the same job: one key of one secret of a KV store to one file. */
export async function measureVaultAgent(
  ground: Ground,
  options: { readonly starts: number },
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
  await put(address, token)
  const out = join(ground.dir, 'vault-out')
  const file = join(out, 'password')
  const tokenFile = join(ground.dir, 'vault-token')
  await writeFile(tokenFile, token, { mode: 0o600 })
  const config = join(ground.dir, 'vault-agent.hcl')
  await writeFile(
    config,
    `vault { address = "${address}" }
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
  await child.stop()
  await server.stop()
  const unmeasured = { updateMs: [], afterUpdates: undefined, later: undefined }
  return { name: 'vault agent', startMs, idle, ...unmeasured }
}

async function put(address: string, token: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    try {
      const { ok } = await fetch(`${address}/v1/secret/data/db`, {
        method: 'POST',
        headers: { 'x-vault-token': token },
        body: JSON.stringify({ data: { password: value } }),
      })
      if (ok) return
    } catch {
      // It is not listening yet.
    }
    await new Promise((done) => setTimeout(done, 100))
  }
  throw new Error('the vault server took no secret')
}
