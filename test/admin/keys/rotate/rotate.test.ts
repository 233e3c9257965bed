import test from 'ava'
import { Proofs } from '../../../../src/admin/keys/proofs.ts'
import { abortRotation } from '../../../../src/admin/keys/rotate/keyring-steps.ts'
import { explainOutcome } from '../../../../src/admin/keys/rotate/plan.ts'
import { LatchkeyError } from '../../../../src/base/errors.ts'
import { activateKey, stageKey } from '../../../../src/keyring/transitions.ts'
import { deps } from '../../../support/keyrings.ts'
import { Killed, World } from '../../../support/rotation/world.ts'

const stepOptions = { make: deps, timeoutMs: 1000, signal: new AbortController().signal }

async function hasFinished(world: World): Promise<boolean> {
  return (await world.ports().journal.entries()).some(({ what }) => what === 'finished')
}

test('a rotation ends with one active key, everything under it, and the former one retired', async (t) => {
  const world = await World.create()
  const { keyId, retired, revision } = await world.rotate()
  t.deepEqual(await world.states(), ['retired', 'active'])
  using keyring = await world.keyring()
  t.is(keyring.active.id, keyId)
  t.deepEqual(retired, [keyring.keys[0]?.id ?? ''])
  t.true(revision > 0)
  t.deepEqual(new Set(world.objects.values()), new Set([keyId]))
  t.deepEqual(world.violations, [])
  t.like(world.events.at(-1), { event: 'finished', keyId })
  const [proof] = await new Proofs(world.annex, () => 0).of(retired[0] ?? '')
  t.like(proof, { clusters: [{ id: '1', revision }], unwritten: true })
})

test('killed at any instant it goes on: one new key, nothing lost, nothing repeated', async (t) => {
  let killed = true
  for (let lifetime = 0; killed; lifetime += 1) {
    const world = await World.create()
    world.lifetime = lifetime
    killed = await world.rotate().then(
      () => false,
      (error: unknown) => {
        if (error instanceof Killed) return true
        throw error
      },
    )
    world.lifetime = Infinity
    // Killed after its very last line it had ended, and the next would be another rotation.
    if (!(await hasFinished(world))) await world.rotate()
    t.deepEqual(await world.states(), ['retired', 'active'], `killed after ${lifetime}`)
    t.deepEqual(world.violations, [])
    t.is(await world.ports().journal.open(), undefined)
  }
  t.pass()
})

test('killed again and again it still ends', async (t) => {
  const world = await World.create()
  for (let attempt = 0; attempt < 300; attempt += 1) {
    world.lifetime = attempt % 7
    await world.rotate().catch((error: unknown) => {
      if (!(error instanceof Killed)) throw error
    })
    if (await hasFinished(world)) break
  }
  t.deepEqual(await world.states(), ['retired', 'active'])
  t.deepEqual(world.violations, [])
})

test('rotations follow one another under a load', async (t) => {
  const world = await World.create()
  for (let count = 0; count < 4; count += 1) await world.rotate()
  t.deepEqual(await world.states(), ['retired', 'retired', 'retired', 'retired', 'active'])
  t.deepEqual(world.violations, [])
})

test('a member that does not acknowledge blocks activation, and is named', async (t) => {
  const world = await World.create()
  const [, second] = world.nodes
  if (second === undefined) throw new Error('three nodes')
  second.partitioned = true
  const error = await t.throwsAsync(world.rotate(), { code: 'ERR_WOULD_LOSE_DATA' })
  t.regex(error.message, /cp-2 has acknowledged nothing and is not heard of/)
  t.deepEqual(await world.states(), ['active', 'staged'])
  second.partitioned = false
  await world.rotate()
  t.deepEqual(await world.states(), ['retired', 'active'])
  t.deepEqual(world.violations, [])
})

test('an API server that is not reached blocks the beginning, and changes nothing', async (t) => {
  const world = await World.create()
  const [first] = world.nodes
  if (first === undefined) throw new Error('three nodes')
  first.serverDown = true
  await t.throwsAsync(world.rotate(), { code: 'ERR_WOULD_LOSE_DATA', message: /cp-1/ })
  t.deepEqual(await world.states(), ['active'])
})

test('an API server that goes on with the old key blocks retiring', async (t) => {
  const world = await World.create()
  const [, , third] = world.nodes
  if (third === undefined) throw new Error('three nodes')
  const frozen = third.serverKey
  world.onSleep = () => {
    third.serverKey = frozen
  }
  await t.throwsAsync(world.rotate(), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /cp-3 still writes secrets under key lk1\./,
  })
  t.deepEqual(await world.states(), ['superseded', 'active'])
  world.onSleep = undefined
  await world.rotate()
  t.deepEqual(await world.states(), ['retired', 'active'])
})

test('an API server that comes at the end and cannot be reached blocks retiring', async (t) => {
  const world = await World.create()
  const { servers } = world.ports()
  let looks = 0
  const discover: typeof servers.discover = async (signal) => {
    looks += 1
    const found = await servers.discover(signal)
    const late = { id: 'cp-4', name: 'cp-4', reason: 'was not reached' }
    return looks < 3 ? found : { ...found, missing: [late] }
  }
  await t.throwsAsync(world.rotate({ ports: { servers: { discover } } }), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /cp-4/,
  })
  t.deepEqual(await world.states(), ['superseded', 'active'])
})

test('a key that is not active any more is proved of nobody', async (t) => {
  const world = await World.create()
  const { membership } = world.ports()
  let activated = false
  // Somebody activates another key by hand as soon as every member has this one.
  const check: typeof membership.check = async (keyring) => {
    const found = await membership.check(keyring)
    if (activated || keyring.keys[1]?.state !== 'active') return found
    if (found.members.some(({ ready }) => !ready)) return found
    activated = true
    const { keyring: other } = world.ports()
    for (const change of [stageKey, activateKey]) {
      using current = await other.open()
      await other.commit(current, change(current.keyring, deps))
    }
    return found
  }
  await t.throwsAsync(world.rotate({ ports: { membership: { check } } }), {
    code: 'ERR_KEY_STATE',
  })
  t.deepEqual(await world.states(), ['superseded', 'superseded', 'active'])
})

test('a keyring that was taken back is not the place to give a rotation up', async (t) => {
  const world = await World.create()
  const { membership, keyring } = world.ports()
  using current = await keyring.open()
  await keyring.commit(current, stageKey(current.keyring, deps))
  const check: typeof membership.check = async (asked) => {
    const { members, revision } = await membership.check(asked)
    const generation = asked.generation + 1
    return { revision, members: members.map((it) => ({ ...it, ready: false, generation })) }
  }
  const ports = { ...world.ports(), membership: { check } }
  await t.throwsAsync(abortRotation(ports, stepOptions), {
    code: 'ERR_KEYRING_ROLLED_BACK',
    message: /cp-1 has acknowledged generation 3/,
  })
  t.deepEqual(await world.states(), ['active', 'staged'])
})

test('what was accepted is told with the outcome', (t) => {
  const outcome = { keyId: 'new', retired: ['old'], accepted: [], revision: 7 }
  t.is(explainOutcome(outcome), 'Rotated: nothing in etcd needs old at revision 7.')
  t.regex(explainOutcome({ ...outcome, accepted: ['secrets/a/b'] }), /but 1 object\(s\)/)
})

test('objects that cannot be rewritten are named, and retire waits until each is accepted', async (t) => {
  const world = await World.create()
  world.onSleep = () => {
    world.objects.set('secrets/shop/stuck', [...world.objects.values()][0] ?? '')
    world.onSleep = undefined
  }
  await world.pass()
  world.stuck.add('secrets/shop/stuck')
  await t.throwsAsync(world.rotate(), {
    code: 'ERR_WOULD_LOSE_DATA',
    message: /secrets\/shop\/stuck \(admission/,
  })
  t.deepEqual(await world.states(), ['superseded', 'active'])
  const { accepted } = await world.rotate({ accepted: ['secrets/shop/stuck'] })
  t.deepEqual(accepted, ['secrets/shop/stuck'])
  t.deepEqual(await world.states(), ['retired', 'active'])
})

test('outages are waited for, as long as they do not last', async (t) => {
  const world = await World.create()
  world.outages = 4
  await world.rotate()
  t.deepEqual(await world.states(), ['retired', 'active'])
  world.outages = 1_000
  await t.throwsAsync(world.rotate(), { code: 'ERR_ETCD_UNAVAILABLE' })
  t.deepEqual(await world.states(), ['retired', 'active'])
})

test('who does not agree changes nothing', async (t) => {
  const world = await World.create()
  const agree = async (): Promise<void> => {
    throw new LatchkeyError('ERR_ABORTED', 'not agreed')
  }
  await t.throwsAsync(world.rotate({ agree }), { code: 'ERR_ABORTED' })
  t.deepEqual(await world.states(), ['active'])
  t.is(await world.ports().journal.open(), undefined)
})

test('abort destroys the staged key; after activation the only way is forward', async (t) => {
  const world = await World.create()
  const [first] = world.nodes
  if (first === undefined) throw new Error('three nodes')
  first.partitioned = true
  await t.throwsAsync(world.rotate(), { code: 'ERR_WOULD_LOSE_DATA' })
  t.truthy(await abortRotation(world.ports(), stepOptions))
  t.deepEqual(await world.states(), ['active', 'destroyed'])
  t.is(await abortRotation(world.ports(), stepOptions), undefined)
  first.partitioned = false

  world.stuck.add([...world.objects.keys()][0] ?? '')
  world.lifetime = 12
  await t.throwsAsync(world.rotate(), { instanceOf: Killed })
  world.lifetime = Infinity
  t.deepEqual(await world.states(), ['superseded', 'destroyed', 'active'])
  await t.throwsAsync(abortRotation(world.ports(), stepOptions), { code: 'ERR_KEY_STATE' })
})
