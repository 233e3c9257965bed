import { join } from 'node:path'

/** Where `latchkey dev` keeps things; all below one directory that can be thrown away. */
export interface DevLayout {
  readonly directory: string
  /** Socket on which the `latchkey dev` that uses the directory listens; nobody speaks on it. */
  readonly lock: string
  /** Encryption at rest. */
  readonly keyring: string
  readonly root: string
  readonly socket: string
  readonly kmsConfig: string
  readonly encryptionConfig: string
  /** Delivery. */
  readonly store: string
  readonly storeRoot: string
  readonly storeConfig: string
  readonly permissions: string
  readonly audit: string
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string }
  /** The demo pod: what stands for its token, its annotation and its file system. */
  readonly token: string
  readonly plan: string
  readonly pod: string
  /** Where the demo secret appears. */
  readonly file: string
}

/** Path of the demo secret in the pod. */
export const demoPath = '/etc/app/db/password'

/** The layout below `directory`, an absolute path. */
export function devLayout(directory: string): DevLayout {
  const at = (...names: readonly string[]): string => join(directory, ...names)
  return {
    directory,
    lock: at('run', 'dev.sock'),
    keyring: at('keyring'),
    root: at('root.key'),
    socket: at('run', 'kms.sock'),
    kmsConfig: at('kms.yaml'),
    encryptionConfig: at('encryption-config.yaml'),
    store: at('store'),
    storeRoot: at('store-root', 'root.key'),
    storeConfig: at('secrets.yaml'),
    permissions: at('permissions.yaml'),
    audit: at('audit.jsonl'),
    tls: { ca: at('tls', 'ca.pem'), cert: at('tls', 'cert.pem'), key: at('tls', 'key.pem') },
    token: at('run', 'token'),
    plan: at('plan.yaml'),
    pod: at('pod'),
    file: at('pod', demoPath),
  }
}
