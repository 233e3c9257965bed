import { createHash } from 'node:crypto'
import { stringify } from 'yaml'
import type { SecretBytes } from '../../base/secret.ts'
import { demoPath, type DevLayout } from './layout.ts'

/** The demo pod and what it may mount. */
export const demo = { namespace: 'dev', secret: 'db', key: 'password' } as const

/** Configuration for the plugin and, with `--config`, for `latchkey keys` and `latchkey doctor`. */
export function kmsConfigText(layout: DevLayout): string {
  return stringify({
    keyring: layout.keyring,
    root: `file:${layout.root}`,
    listen: `unix://${layout.socket}`,
  })
}

/** Configuration for `latchkey secret`. */
export function storeConfigText(layout: DevLayout): string {
  return stringify({ store: layout.store, 'store-root': `file:${layout.storeRoot}` })
}

/**
 * An EncryptionConfiguration for the plugin on `socket`. `identity` stands last, so that what was
 * written before encryption was switched on can still be read.
 */
export function encryptionConfigText(socket: string): string {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
    providers:
      - kms:
          apiVersion: v2
          name: latchkey
          endpoint: unix://${socket}
          timeout: 3s
      - identity: {}
`
}

/** What the demo pod would declare in its annotation `latchkey.dev/secrets`. */
export function planText(): string {
  return `- secret: ${demo.secret}
  key: ${demo.key}
  path: ${demoPath}
`
}

/** The static file that stands for the cluster's pods and RBAC. */
export function permissionsText(token: SecretBytes): string {
  const tokenSha256 = createHash('sha256').update(token.expose()).digest('hex')
  return `# Stands for the API server while there is none: who pods are, and what they may mount.
# It is read again whenever it changes. Take "${demo.secret}" out of the list, and put it back.
accounts:
  - { namespace: ${demo.namespace}, name: web, mount: [${demo.secret}] }
pods:
  - { namespace: ${demo.namespace}, name: web-0, uid: demo, account: web, tokenSha256: ${tokenSha256} }
`
}
