import { LatchkeyError } from '../../base/errors.ts'

/** The error for a file that is no whole, undamaged database of etcd. `what` never holds content. */
export function invalidSnapshot(what: string): LatchkeyError {
  return new LatchkeyError('ERR_SNAPSHOT_INVALID', `the snapshot is damaged or none: ${what}`, {
    hint: 'take another with "etcdctl snapshot save", or look at it with "etcdutl snapshot status"',
  })
}
