import test from 'ava'
import { readCertificate } from '../../../src/webhook/certificates/x509.ts'
import { issuerGround, seen } from '../../support/issuer.ts'

const hour = 3_600_000
const day = 24 * hour
const signal = new AbortController().signal

test('a machine whose clock jumps goes on serving, and changes nothing that others go by', async (t) => {
  const { replica, data } = await issuerGround(t)
  const jumped = await seen(replica())
  const stored = [await data('latchkey-authority'), await data('latchkey-broker-tls')]
  for (const jump of [-400 * day, 30 * day, 40 * 365 * day]) {
    const serverNow = Date.now()
    Object.assign(jumped, { serverNow, now: serverNow + jump })
    await seen(jumped)
    t.deepEqual([await data('latchkey-authority'), await data('latchkey-broker-tls')], stored)
    t.is(jumped.served.length, 1)
    const restarted = Object.assign(replica(), { serverNow, now: serverNow + jump })
    const { notBeforeMs, notAfterMs } = readCertificate((await seen(restarted)).served[0] ?? '')
    t.true(notBeforeMs <= serverNow && notAfterMs > serverNow)
    t.deepEqual([await data('latchkey-authority'), await data('latchkey-broker-tls')], stored)
  }
})

test('what only a clock that all agree on may change waits, and says so', async (t) => {
  const { replica, data } = await issuerGround(t)
  const ahead = replica()
  ahead.serverNow = ahead.now - hour
  const error = await t.throwsAsync(ahead.issuer.see(signal), { code: 'ERR_CLOCK_DIFFERS' })
  t.regex(error.message, /60 minutes ahead of/)
  t.deepEqual(await data('latchkey-authority'), {})
  ahead.serverNow = ahead.now - 60_000
  await seen(ahead)
  t.is(ahead.served.length, 1)
  ahead.serverNow = ahead.now + 2 * day + hour
  await t.throwsAsync(ahead.issuer.see(signal), { code: 'ERR_CLOCK_DIFFERS' })
  t.is(ahead.served.length, 2)
})
