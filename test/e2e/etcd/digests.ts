import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { collection, type Kubernetes } from '../support/kubernetes.ts'

/** Data of a Secret, each value by its SHA-256, which a failure can show. */
export type Digests = Readonly<Record<string, string>>

/** What every Secret of a cluster holds, by namespace and name. */
export async function digestsInCluster(admin: Kubernetes): Promise<ReadonlyMap<string, Digests>> {
  const { items } = await admin.list(collection('v1', 'secrets'))
  const found = items.map(({ metadata, data }): [string, Digests] => {
    const values = Object.entries((data ?? {}) as Readonly<Record<string, string>>)
    const digests = values.map(([name, value]) => [name, sha256(Buffer.from(value, 'base64'))])
    return [`${metadata.namespace ?? ''}/${metadata.name}`, Object.fromEntries(digests) as Digests]
  })
  return new Map(found.sort())
}

/** What every Secret holds that `latchkey etcd decrypt` extracted to `out`, by namespace and name. */
export async function digestsExtracted(out: string): Promise<ReadonlyMap<string, Digests>> {
  const found: [string, Digests][] = []
  for (const line of (await readFile(join(out, 'index.jsonl'), 'utf8')).trim().split('\n')) {
    const { key, directory } = JSON.parse(line) as { key: string; directory: string }
    const data: Record<string, string> = {}
    // A Secret without data has no such directory.
    const holds = (await readdir(join(out, directory))).includes('data')
    for (const name of holds ? await readdir(join(out, directory, 'data')) : []) {
      data[name] = sha256(await readFile(join(out, directory, 'data', name)))
    }
    found.push([key.replace('/registry/secrets/', ''), data])
  }
  return new Map(found.sort())
}

/** In hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
