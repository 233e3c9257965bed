import { writeFile } from 'node:fs/promises'
import type { Identity } from './authority.ts'

/** Writes a kubeconfig for one user of one server, readable by its owner alone. */
export async function writeKubeconfig(
  path: string,
  options: { readonly server: string; readonly ca: string; readonly identity: Identity },
): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const { server, ca, identity } = options
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'e2e',
    clusters: [{ name: 'e2e', cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [
      {
        name: 'e2e',
        user: {
          'client-certificate-data': base64(identity.cert),
          'client-key-data': base64(identity.key),
        },
      },
    ],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user: 'e2e' } }],
  }
  await writeFile(path, JSON.stringify(config, undefined, 2), { mode: 0o600 })
}
