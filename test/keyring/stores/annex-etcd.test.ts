import test from 'ava'
import { etcdAnnex } from '../../../src/keyring/stores/annex-etcd.ts'
import { annexContract } from '../../contract/annex.ts'
import { fakeEtcd } from '../../support/fake-etcd.ts'
import { until } from '../../support/until.ts'

annexContract(test, 'etcd', async () => {
  const etcd = fakeEtcd()
  return () => etcdAnnex(etcd.connect(), '/latchkey')
})

test('an entry whose creation was not answered is not made twice, nor taken for another’s', async (t) => {
  const etcd = fakeEtcd()
  const connection = etcd.connect()
  const annex = etcdAnnex(connection, '/latchkey')
  connection.mode = 'unanswered'
  const made = annex.create('rotation', '0001', { one: 1 }).catch((error: unknown) => error)
  connection.mode = 'up'
  await made
  t.is(etcd.get('/latchkey/annex/rotation/0001'), '{"one":1}\n')
  t.false(await annex.create('rotation', '0001', { another: 2 }))
})

test('a lock names its holder, and who loses its lease is told', async (t) => {
  const etcd = fakeEtcd()
  const lock = await etcdAnnex(etcd.connect(), '/latchkey').lock('rotation', 'process 1 on cp-1')
  await t.throwsAsync(etcdAnnex(etcd.connect(), '/latchkey').lock('rotation', 'me'), {
    code: 'ERR_BUSY',
    message: /process 1 on cp-1/,
  })
  etcd.expire('/latchkey/lock/rotation')
  await until(t, () => lock.lost.aborted, { what: 'the loss of the lock' })
  await (await etcdAnnex(etcd.connect(), '/latchkey').lock('rotation', 'me')).release()
})
