import test from 'ava'
import { sha256Label } from '../../src/base/bytes.ts'
import { fullKeyring } from '../support/kms-keyring.ts'
import { heldClock, kmsParts } from '../support/kms-parts.ts'

const tail = 'A'.repeat(22)

test('the use of a retired key is counted each time and logged once a minute', async (t) => {
  const keyring = await fullKeyring(t)
  const clock = heldClock()
  const { witness, of, text } = kmsParts({ clock })
  const retired = keyring.keys.find(({ state }) => state === 'retired')
  if (retired === undefined) throw new Error('no retired key')
  for (const key of keyring.keys) if (key.state !== 'retired') witness.opened(key)
  t.is(of('kms.retired_key_used').length, 0)
  for (let n = 0; n < 5; n += 1) witness.opened(retired)
  t.like(of('kms.retired_key_used'), [
    { level: 'warn', fields: { keyId: retired.id, heldBack: 0 } },
  ])
  await clock.advance(60_000)
  witness.opened(retired)
  t.like(of('kms.retired_key_used')[1], { fields: { heldBack: 4 } })
  const hash = sha256Label(retired.id)
  t.true((await text()).includes(`retired_key_decrypts_total{key_id_hash="${hash}"} 6`))
})

test('an unknown key id of our form says that another keyring is in use, for ten minutes', async (t) => {
  const clock = heldClock()
  const { witness, of, text, findings, prober, serving } = kmsParts({ clock })
  const keyring = await fullKeyring(t)
  prober.serve(prober.examine(keyring))
  witness.unknownKey(`lk1.1.${tail}`)
  witness.unknownKey(`lk1.2.${tail}`)
  t.deepEqual(findings(), ['degraded another-keyring'])
  t.like(of('kms.unknown_key'), [{ fields: { kind: 'another-keyring', keyId: `lk1.1.${tail}` } }])
  t.is(of('kms.unknown_key').length, 1)
  t.true((await text()).includes('unknown_key_decrypts_total{kind="another-keyring"} 2'))
  await clock.advance(599_000)
  t.deepEqual(findings(), ['degraded another-keyring'])
  await clock.advance(1_000)
  t.deepEqual(findings(), [])
  t.truthy(serving.snapshot)
})

test('one of a generation above ours hints at a rollback', async (t) => {
  const { witness, of, findings, prober } = kmsParts({})
  prober.serve(prober.examine(await fullKeyring(t)))
  witness.unknownKey(`lk1.9999.${tail}`)
  t.deepEqual(findings(), ['degraded newer-generation'])
  t.like(of('kms.unknown_key'), [{ fields: { kind: 'newer-generation' } }])
})

test('an id of another form is counted, and its text is not logged', async (t) => {
  const { witness, of, findings, text, prober } = kmsParts({})
  prober.serve(prober.examine(await fullKeyring(t)))
  witness.unknownKey('whatever somebody wrote into etcd')
  t.deepEqual(findings(), [])
  t.is(of('kms.unknown_key')[0]?.fields['keyId'], undefined)
  t.true((await text()).includes('unknown_key_decrypts_total{kind="foreign-form"} 1'))
})

test('strictly, another keyring in use is failing', async (t) => {
  const { witness, findings, prober } = kmsParts({ strict: true })
  prober.serve(prober.examine(await fullKeyring(t)))
  witness.unknownKey(`lk1.1.${tail}`)
  t.deepEqual(findings(), ['failing another-keyring'])
})
