import { status } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareConnection, echoing, grpcClient, preface } from '../support/grpc-echo.ts'

async function until(t: ExecutionContext, what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; waited < 5000 && !condition(); waited += 10) await sleep(10)
  t.true(condition(), what)
}

test.serial('draining answers what is in flight and then closes', async (t) => {
  const { path, connections, release } = await echoing(t)
  const { say } = grpcClient(t, path)
  const answer = say('wait')
  await until(t, 'it is in flight', () => release.length === 1)
  const drained = connections.drain(30_000)
  setTimeout(() => release[0]?.(), 100)
  t.is(await answer, 'wait')
  t.deepEqual(await drained, { cut: 0 })
  t.is(connections.size, 0)
})

test.serial('draining ends after its grace, whatever peers do', async (t) => {
  const { path, connections, release } = await echoing(t)
  const { say } = grpcClient(t, path)
  const answer = say('wait')
  await until(t, 'it is in flight', () => release.length === 1)
  const idle = bareConnection(t, path)
  idle.socket.write(preface)
  bareConnection(t, path)
  await until(t, 'all are there', () => connections.size === 3)
  const started = performance.now()
  t.deepEqual(await connections.drain(2_000), { cut: 1 })
  t.true(performance.now() - started < 20_000)
  t.like(await answer, { code: status.UNAVAILABLE })
  await until(t, 'none is left', () => connections.size === 0)
})

test.serial('who connects while draining is sent away without a failed call', async (t) => {
  const { path, connections, release } = await echoing(t)
  const busy = grpcClient(t, path)
  const answer = busy.say('wait')
  await until(t, 'it is in flight', () => release.length === 1)
  const drained = connections.drain(30_000)
  const late = bareConnection(t, path)
  late.socket.write(preface)
  await late.closed
  const goaway = late.received().indexOf(Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0]))
  t.true(goaway >= 0, 'a GOAWAY frame with no error')
  release[0]?.()
  t.is(await answer, 'wait')
  await drained
})
