import test, { type ExecutionContext } from 'ava'
import { createRandomPool } from '../../src/base/random.ts'
import { probeIntervalMs } from '../../src/kms/prober.ts'
import { selfTest, tryKey } from '../../src/kms/self-test.ts'
import { fullKeyring } from '../support/kms-keyring.ts'
import { heldClock, kmsParts } from '../support/kms-parts.ts'

async function probing(t: ExecutionContext, strict = false) {
  const keyring = await fullKeyring(t)
  const broken = new Set<string>()
  const clock = heldClock()
  const parts = kmsParts({
    clock,
    strict,
    attempt: (tried, keyId) => {
      if (broken.has(keyId)) throw new Error('broken')
      tryKey(createRandomPool())(tried, keyId)
    },
  })
  const stop = new AbortController()
  const id = (state: string): string => keyring.keys.find((key) => key.state === state)?.id ?? ''
  const start = (): void => {
    const running = parts.prober.run(stop.signal)
    t.teardown(async () => {
      stop.abort()
      await running.catch(() => undefined)
    })
  }
  return { ...parts, keyring, broken, clock, start, id }
}

test('a self-test tries every key that is not destroyed', async (t) => {
  const keyring = await fullKeyring(t)
  const tried: string[] = []
  const failed = selfTest(keyring, (given, keyId) => {
    tried.push(given.find(keyId)?.state ?? '')
    if (given.find(keyId)?.state === 'retired') throw new Error('no')
  })
  t.deepEqual(tried, ['retired', 'superseded', 'active', 'staged'])
  t.is(failed.size, 1)
  t.is(selfTest(keyring, tryKey(createRandomPool())).size, 0)
})

test('an older key that fails degrades, and its recovery is told', async (t) => {
  const { keyring, broken, clock, prober, serving, findings, of, start, id, text } =
    await probing(t)
  prober.serve(prober.examine(keyring))
  start()
  t.deepEqual(findings(), [])
  broken.add(id('superseded'))
  await clock.advance(probeIntervalMs)
  t.deepEqual(findings(), ['degraded other-key'])
  t.deepEqual([...(serving.snapshot?.unusable ?? [])], [id('superseded')])
  t.like(of('kms.key_unusable'), [{ fields: { keyId: id('superseded'), state: 'superseded' } }])
  t.regex(await text(), /key_usable\{key_id_hash="[^"]+"\} 0/)
  await clock.advance(probeIntervalMs)
  t.is(of('kms.key_unusable').length, 1, 'told once')
  broken.clear()
  await clock.advance(probeIntervalMs)
  t.deepEqual(findings(), [])
  t.is(of('kms.key_usable').length, 1)
  t.notRegex(await text(), /key_usable\{key_id_hash="[^"]+"\} 0/)
  t.regex(await text(), /self_tests_total\{result="failed"\} 2/)
})

test('an active key that fails is failing', async (t) => {
  const { keyring, broken, clock, prober, health, findings, start, id } = await probing(t)
  prober.serve(prober.examine(keyring))
  start()
  broken.add(id('active'))
  await clock.advance(probeIntervalMs)
  t.deepEqual(findings(), ['failing active-key'])
  t.false(health.ready)
  broken.add(id('retired'))
  await clock.advance(probeIntervalMs)
  t.deepEqual(findings(), ['failing active-key', 'degraded other-key'])
})

test('strictly, an older key that fails is failing', async (t) => {
  const { keyring, broken, prober, findings, id } = await probing(t, true)
  broken.add(id('superseded'))
  prober.serve(prober.examine(keyring))
  t.deepEqual(findings(), ['failing other-key'])
})
