import { join } from 'node:path'

/** Where `latchkey dev` keeps things; all below one directory that can be thrown away. */
export interface DevLayout {
  readonly directory: string
  readonly keyring: string
  readonly root: string
  readonly socket: string
  readonly kmsConfig: string
  readonly encryptionConfig: string
}

/** The layout below `directory`, an absolute path. */
export function devLayout(directory: string): DevLayout {
  return {
    directory,
    keyring: join(directory, 'keyring'),
    root: join(directory, 'root.key'),
    socket: join(directory, 'run', 'kms.sock'),
    kmsConfig: join(directory, 'kms.yaml'),
    encryptionConfig: join(directory, 'encryption-config.yaml'),
  }
}

/** Configuration for the plugin and, with `--config`, for `latchkey keys` and `latchkey doctor`. */
export function kmsConfigText(layout: DevLayout): string {
  return [
    `keyring: ${JSON.stringify(layout.keyring)}`,
    `root: ${JSON.stringify(`file:${layout.root}`)}`,
    `listen: ${JSON.stringify(`unix://${layout.socket}`)}`,
    '',
  ].join('\n')
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
