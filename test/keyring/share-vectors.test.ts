import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SecretBytes } from '../../src/base/secret.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { decodeShares, encodeShare } from '../../src/keyring/roots/share-text.ts'
import { sharesRoot, type GivenShare } from '../../src/keyring/roots/shares.ts'
import { lp, openDocumentWith, readDocument } from '../support/format-reader.ts'
import { joinShares, readShare, sharesSlot } from '../support/share-reader.ts'

/** A backup, its shares, and what they yield. The polynomials are random, so these are made once. */
interface ShareVector {
  readonly title: string
  readonly group: string
  readonly count: number
  readonly threshold: number
  readonly root: string
  readonly keyId: string
  readonly kek: string
  readonly backup: string
  readonly shares: readonly string[]
}

const file = join(import.meta.dirname, '../vectors/shares/shares.json')

async function vectors(): Promise<readonly ShareVector[]> {
  const list = JSON.parse(await readFile(file, 'utf8')) as ShareVector[]
  if (list.length === 0) throw new Error('there are no vectors')
  return list
}

function given(text: string): GivenShare {
  const [share] = decodeShares(SecretBytes.take(Uint8Array.from(Buffer.from(text))), 'a vector')
  if (share === undefined) throw new Error('unreachable')
  return { ...share, source: 'a vector' }
}

test('shares are read, and written again as they were', async (t) => {
  for (const vector of await vectors()) {
    for (const [at, text] of vector.shares.entries()) {
      const share = given(text)
      const { group, count, threshold } = vector
      t.like(share, { group, count, threshold, index: at + 1 })
      t.is(Buffer.from(encodeShare(share).expose()).toString('latin1'), text)
    }
  }
})

test('they open their backup', async (t) => {
  for (const { backup, shares, threshold, keyId, kek } of await vectors()) {
    for (let from = 0; from + threshold <= shares.length; from += 1) {
      const root = sharesRoot(shares.slice(from, from + threshold).map(given), {
        warn: (line) => t.fail(line),
      })
      using keyring = await Keyring.open(Buffer.from(backup, 'latin1'), {
        roots: [root],
        kind: 'backup',
      })
      t.is(Buffer.from(keyring.live(keyId).material.expose()).toString('hex'), kek)
    }
  }
})

test('the second implementation opens it too', async (t) => {
  for (const vector of await vectors()) {
    const shares = vector.shares.map(readShare)
    const joined = joinShares(shares.slice(-vector.threshold))
    t.is(joined.toString('hex'), vector.root)
    const document = Buffer.from(vector.backup, 'latin1')
    const { body } = readDocument(document)
    const [slot] = body.slots
    if (slot === undefined) throw new Error('unreachable')
    const { key, commitment, checks } = sharesSlot(joined, shares, String(slot.params['salt']))
    const { group, count, threshold } = vector
    t.deepEqual(slot.params, {
      salt: slot.params['salt'],
      group,
      shares: count,
      threshold,
      commitment,
      checks,
    } as typeof slot.params)
    const context = lp(
      'latchkey/slot/backup',
      '1',
      body.keyringId,
      body.clusterId,
      'shares',
      slot.id,
    )
    const { materials } = openDocumentWith(document, { key, context, slot })
    t.is(materials.get(vector.keyId)?.toString('hex'), vector.kek)
  }
})
