/**
 * Whether the name of a keyring, as `--keyring` takes it, is that of one in etcd
 * (`etcd:https://HOST:PORT/PREFIX`), and not of a directory.
 */
export function isInEtcd(name: string): boolean {
  return /^etcd:https?:/.test(name)
}
