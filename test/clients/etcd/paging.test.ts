import test from 'ava'
import { systemClock } from '../../../src/base/clock.ts'
import { readFields, WireMessage } from '../../../src/base/protobuf.ts'
import { createRandomPool } from '../../../src/base/random.ts'
import { parseEtcdFlags } from '../../../src/clients/etcd/flags.ts'
import { prefixEnd } from '../../../src/clients/etcd/messages.ts'
import { openEtcd } from '../../../src/clients/etcd/open.ts'
import { header, scriptedEtcd } from '../../support/scripted-etcd.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const random = seededRandom('pages')
const below = (most: number): number => Buffer.from(random(4)).readUInt32LE() % most

/** Keys in few directories and many, deep and shallow, and of odd bytes, in etcd's order. */
function someKeys(): readonly Buffer[] {
  const parts = ['a', 'registry', 'secrets', 'zz', '', 'é', '0', '/', '\u0001']
  const keys = new Map<string, Buffer>()
  for (let left = below(150); left > 0; left -= 1) {
    const depth = below(5)
    const path = Array.from({ length: depth }, () => parts[below(parts.length)] ?? '').join('/')
    const key = Buffer.concat([Buffer.from(`/${path}`), random(below(3))])
    if (below(4) === 0) key[0] = below(255) + 1
    keys.set(key.toString('hex'), key)
  }
  return [...keys.values()].sort((a, b) => a.compare(b))
}

function isIn(key: Buffer, from: Buffer, end: Buffer): boolean {
  if (end.byteLength === 0) return key.equals(from)
  return key.compare(from) >= 0 && (end.equals(Buffer.of(0)) || key.compare(end) < 0)
}

test('whatever the keys and the range are, each key comes once and in order', async (t) => {
  let keys: readonly Buffer[] = []
  let counted = 0
  const member = await scriptedEtcd(t, {
    unary: {
      'KV/Range': [
        (request) => {
          let [from, end, limit] = [Buffer.alloc(0), Buffer.alloc(0), 0]
          for (const field of readFields(request)) {
            if (field.kind === 'bytes' && field.number === 1) from = Buffer.from(field.value)
            if (field.kind === 'bytes' && field.number === 2) end = Buffer.from(field.value)
            if (field.kind === 'varint' && field.number === 3) limit = field.value
          }
          const found = keys.filter((key) => isIn(key, from, end))
          counted += found.length
          const answer = new WireMessage().item(1, header(9))
          for (const key of found.slice(0, limit)) {
            const value = Buffer.alloc(key[key.byteLength - 1] ?? 0, 1)
            answer.item(2, new WireMessage().bytes(1, key).varint(3, 5).bytes(5, value))
          }
          return answer.varint(3, Number(found.length > limit)).varint(4, found.length)
        },
      ],
    },
  })
  const [access] = parseEtcdFlags({ etcd: [`http://${member.endpoint}`] }, '/')
  if (access === undefined) return t.fail()
  using client = await openEtcd(access, { clock: systemClock, random: createRandomPool() })
  for (let round = 0; round < 15; round += 1) {
    keys = someKeys()
    const [one = Buffer.of(1), other = Buffer.of(2)] = [keys[below(150)], keys[below(150)]]
    for (const [from, end] of [
      [Buffer.of(0), Buffer.of(0)],
      [Buffer.from('/registry/'), Buffer.from(prefixEnd('/registry/'))],
      [one, other],
    ] as const) {
      if (from.compare(end) > 0) continue
      const seen: string[] = []
      for await (const page of client.pages(from, { rangeEnd: end, pageBytes: 1 + below(3_000) })) {
        seen.push(...page.entries.map(({ key }) => key))
      }
      const expected = keys.filter((key) => isIn(key, from, end)).map((key) => key.toString())
      t.deepEqual(seen, expected)
    }
  }
  // In one directory what is behind it is counted once, and not for each page.
  keys = Array.from({ length: 1_200 }, (_, n) =>
    Buffer.from(`${n < 400 ? '/a' : '/b'}/${String(n).padStart(4, '0')}`),
  )
  counted = 0
  let pages = 0
  const all = { rangeEnd: Buffer.of(0), pageBytes: 2_000 }
  for await (const page of client.pages(Buffer.of(0), all)) pages += Number(page.total === 1_200)
  t.true(pages > 20)
  t.true(counted < pages * 500, `${counted} counted for ${pages} pages`)
})
