import test from 'ava'
import { isInEtcd } from '../../src/keyring/place.ts'

test('a keyring is in etcd when its name has the address of one', (t) => {
  for (const name of ['etcd:https://10.0.0.1:2379/latchkey', 'etcd:http://127.0.0.1:2379/x']) {
    t.true(isInEtcd(name), name)
  }
  for (const name of ['/var/lib/latchkey', 'etcd', 'etcd:', 'etcd:ring', 'https://10.0.0.1:2379']) {
    t.false(isInEtcd(name), name)
  }
})
