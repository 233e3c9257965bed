import type { ExecutionContext, TestFn } from 'ava'
import { fromUtf8, utf8 } from '../../src/base/bytes.ts'
import type { SecretTarget } from '../../src/secrets/reference.ts'
import type { FollowedSecret, SecretSource } from '../../src/secrets/source.ts'
import { until } from '../e2e/support/until.ts'

/** What an adapter's test gives the suite: a source, and hands on what stands behind it. */
export interface SourceUnderTest {
  readonly source: SecretSource
  /** Writes a secret, also when the content is the one it has. */
  put(target: SecretTarget, values: Readonly<Record<string, string>>): Promise<void>
  remove(target: SecretTarget): Promise<void>
  /** Makes what stands behind the source stop answering. */
  breakOff(): Promise<void>
  mend(): Promise<void>
  /** Longest time after which a change must have been seen, in milliseconds. */
  readonly patienceMs: number
}

const db = { namespace: 'shop', name: 'db' }
const other = { namespace: 'shop', name: 'other' }
const elsewhere = { namespace: 'bank', name: 'db' }

/** The values of what is observed as text, or the state when there is none. */
export function shown(secret: FollowedSecret): Readonly<Record<string, string>> | string {
  const observation = secret.current()
  if (observation?.state !== 'present') return observation?.state ?? 'unknown'
  return Object.fromEntries(
    observation.content.entries.map(({ key, value }) => [key, fromUtf8(value.expose()) ?? '']),
  )
}

/** Runs the contract of {@link SecretSource} against an adapter. */
export function testSecretSource(
  test: TestFn,
  open: (t: ExecutionContext) => Promise<SourceUnderTest>,
): void {
  const becomes = async (
    { t, patienceMs }: { readonly t: ExecutionContext; readonly patienceMs: number },
    secret: FollowedSecret,
    expected: Readonly<Record<string, string>> | string,
  ): Promise<void> => {
    const text = JSON.stringify(expected)
    await until(`the source to show ${text}`, () => JSON.stringify(shown(secret)) === text, {
      timeoutMs: patienceMs,
      everyMs: 5,
    })
    t.deepEqual(shown(secret), expected)
  }

  test('nothing is known when follow returns, and then what is there', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    let told = 0
    using secret = subject.source.follow(db, () => (told += 1))
    t.is(shown(secret), 'unknown')
    t.is(secret.staleMs(), Infinity)
    t.is(told, 0)
    await becomes(subject, secret, { password: 'one' })
    t.is(told, 1)
    t.true(Number.isFinite(secret.staleMs()))
    await until('the age to be 0', () => secret.staleMs() === 0, { timeoutMs: 30_000, everyMs: 5 })
  })

  test('a secret that does not exist is absent, and so is one in a namespace without any', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(other, { k: 'v' })
    using one = subject.source.follow(db, () => undefined)
    using two = subject.source.follow(elsewhere, () => undefined)
    await becomes(subject, one, 'absent')
    await becomes(subject, two, 'absent')
  })

  test('a change, a removal and a return are each told once', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    let told = 0
    using secret = subject.source.follow(db, () => (told += 1))
    await becomes(subject, secret, { password: 'one' })
    await subject.put(db, { password: 'two', username: 'web' })
    await becomes(subject, secret, { password: 'two', username: 'web' })
    await subject.remove(db)
    await becomes(subject, secret, 'absent')
    await subject.put(db, { password: 'three' })
    await becomes(subject, secret, { password: 'three' })
    t.is(told, 4)
  })

  test('writing the same content again is no change', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    let told = 0
    using secret = subject.source.follow(db, () => (told += 1))
    using marker = subject.source.follow(other, () => undefined)
    await becomes(subject, secret, { password: 'one' })
    for (let i = 0; i < 5; i += 1) await subject.put(db, { password: 'one' })
    await subject.put(other, { done: 'yes' })
    await becomes(subject, marker, { done: 'yes' })
    await subject.put(db, { password: 'two' })
    await becomes(subject, secret, { password: 'two' })
    t.is(told, 2)
  })

  test('secrets of one name in two namespaces are two', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'shop' })
    await subject.put(elsewhere, { password: 'bank' })
    using one = subject.source.follow(db, () => undefined)
    using two = subject.source.follow(elsewhere, () => undefined)
    await becomes(subject, one, { password: 'shop' })
    await becomes(subject, two, { password: 'bank' })
  })

  test('several followers see the same, and one that leaves takes nothing from the others', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    const told = [0, 0]
    const first = subject.source.follow(db, () => (told[0] = (told[0] ?? 0) + 1))
    using second = subject.source.follow(db, () => (told[1] = (told[1] ?? 0) + 1))
    await becomes(subject, first, { password: 'one' })
    first[Symbol.dispose]()
    await subject.put(db, { password: 'two' })
    await becomes(subject, second, { password: 'two' })
    t.deepEqual(told, [1, 2])
  })

  test('one who follows later sees what is there by then', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    using first = subject.source.follow(db, () => undefined)
    await becomes(subject, first, { password: 'one' })
    await subject.put(other, { password: 'late' })
    using late = subject.source.follow(other, () => undefined)
    await becomes(subject, late, { password: 'late' })
    await subject.put(other, { password: 'later' })
    await becomes(subject, late, { password: 'later' })
  })

  test('values are bytes: empty, NUL, no UTF-8', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { empty: '', nul: '\0\0', text: 'ü\n$(x)"' })
    using secret = subject.source.follow(db, () => undefined)
    await becomes(subject, secret, { empty: '', nul: '\0\0', text: 'ü\n$(x)"' })
    const observation = secret.current()
    if (observation?.state !== 'present') throw new Error('unreachable')
    t.deepEqual(
      Buffer.from(observation.content.entries[2]?.value.expose() ?? []),
      Buffer.from(utf8('ü\n$(x)"')),
    )
  })

  test('an outage changes nothing but the age, and what happened meanwhile is seen after it', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    let told = 0
    using secret = subject.source.follow(db, () => (told += 1))
    await becomes(subject, secret, { password: 'one' })
    await subject.breakOff()
    await until('the age to grow', () => secret.staleMs() > 0, { timeoutMs: 30_000 })
    t.deepEqual(shown(secret), { password: 'one' })
    t.is(told, 1)
    await subject.mend()
    await subject.put(db, { password: 'two' })
    await until('the change', () => JSON.stringify(shown(secret)) === '{"password":"two"}', {
      timeoutMs: 30_000,
    })
    await until('the age to be 0', () => secret.staleMs() === 0, { timeoutMs: 30_000 })
    t.is(told, 2)
  })

  test('after disposal and after close no listener is called, and close may be called twice', async (t) => {
    const subject = { t, ...(await open(t)) }
    await subject.put(db, { password: 'one' })
    let told = 0
    const secret = subject.source.follow(db, () => (told += 1))
    await becomes(subject, secret, { password: 'one' })
    secret[Symbol.dispose]()
    t.is(secret.current(), undefined)
    const again = subject.source.follow(db, () => (told += 1))
    await becomes(subject, again, { password: 'one' })
    await subject.source.close()
    await subject.source.close()
    await subject.put(db, { password: 'two' })
    t.is(again.current(), undefined)
    t.is(told, 2)
    t.throws(() => subject.source.follow(db, () => undefined), { code: 'ERR_ABORTED' })
  })

  test('a name that is none is a mistake of the program', async (t) => {
    const subject = { t, ...(await open(t)) }
    for (const target of [
      { namespace: '../bank', name: 'db' },
      { namespace: 'shop', name: '../../bank/db' },
      { namespace: 'shop', name: '' },
      { namespace: 'Shop', name: 'db' },
      { namespace: 'shop', name: 'd b' },
    ]) {
      t.throws(() => subject.source.follow(target, () => undefined), { instanceOf: TypeError })
    }
  })
}
