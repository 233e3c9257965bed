import { Command } from 'commander'
import { addEtcdDecrypt } from './etcd-decrypt.ts'
import { addEtcdMigrate } from './etcd-migrate.ts'
import { addEtcdScan } from './etcd-scan.ts'

/** `latchkey etcd …`: what API servers keep in etcd, and under which key. */
export function etcdCommand(): Command {
  const etcd = new Command('etcd').description('what is in etcd, and under which key')
  addEtcdScan(etcd)
  addEtcdMigrate(etcd)
  addEtcdDecrypt(etcd)
  return etcd
}
