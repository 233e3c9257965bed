import test from 'ava'
import { startEtcd } from '../support/etcd.ts'
import { useGround } from '../support/ground.ts'
import { until } from '../support/until.ts'

const ground = useGround(test)

test('three etcd members agree, lose one, and take it back', async (t) => {
  const { members } = await startEtcd(ground, { members: 3 })
  const [first, second, third] = members
  if (first === undefined || second === undefined || third === undefined) return t.fail()
  await first.client.put('/a', Buffer.of(0, 255))
  t.deepEqual((await third.client.get('/a'))?.value, Buffer.of(0, 255))

  await third.stop('at once')
  await until('a leader', async () => await second.client.healthy(), { timeoutMs: 20_000 }) // it may have been the third
  await until(
    'a write without the third',
    async () => {
      await second.client.put('/b', Buffer.from('written without the third'))
      return true
    },
    { timeoutMs: 20_000 },
  )
  await third.start()
  t.deepEqual(
    (await third.client.list('/')).map(({ key, value }) => [key, value.length]),
    [
      ['/a', 2],
      ['/b', 25],
    ],
  )
  t.is(await first.client.get('/c'), undefined)
})
