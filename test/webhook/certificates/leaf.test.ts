import test from 'ava'
import { randomBytes } from 'node:crypto'
import { authorityOf } from '../../../src/webhook/certificates/authorities.ts'
import { isGoodLeaf, issueLeaf } from '../../../src/webhook/certificates/leaf.ts'
import { makeAuthority } from '../../../src/webhook/certificates/x509.ts'

const hour = 3_600_000
const nowMs = Date.parse('2026-01-01T00:00:00Z')
const names = ['a.svc', 'b.svc']
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const authority = async (notAfterMs: number): ReturnType<typeof makeSigner> =>
  makeSigner(notAfterMs)
async function makeSigner(notAfterMs: number): Promise<ReturnType<typeof authorityOf>> {
  const made = await makeAuthority(names, { random, validity: { notBeforeMs: nowMs, notAfterMs } })
  return authorityOf(made, { signsFromMs: nowMs, names })
}
const signer = await authority(nowMs + 10_000 * hour)
const wish = { names, lifetimeMs: 24 * hour, usedPart: 1 / 2, signer, nowMs }
const { certificate } = await issueLeaf(wish, random)

test('a fresh certificate is good until its part is used', (t) => {
  t.true(isGoodLeaf(certificate, wish))
  t.true(isGoodLeaf(certificate, { ...wish, nowMs: nowMs + 12 * hour - 1000 }))
  t.false(isGoodLeaf(certificate, { ...wish, nowMs: nowMs + 12 * hour }))
  t.true(isGoodLeaf(certificate, { ...wish, usedPart: 0.9, nowMs: nowMs + 20 * hour }))
})

test('a clock that went back, or far ahead, needs another one', (t) => {
  t.false(isGoodLeaf(certificate, { ...wish, nowMs: nowMs - hour }))
  t.false(isGoodLeaf(certificate, { ...wish, nowMs: nowMs + 25 * hour }))
})

test('other names, another signer, or no certificate at all are not good', async (t) => {
  t.false(isGoodLeaf(certificate, { ...wish, names: ['a.svc'] }))
  t.false(isGoodLeaf(certificate, { ...wish, names: ['a.svc', 'c.svc'] }))
  t.false(isGoodLeaf(certificate, { ...wish, signer: await authority(signer.facts.notAfterMs) }))
  t.false(isGoodLeaf('garbage', wish))
  t.false(isGoodLeaf('', wish))
})

test('no certificate outlives its authority, and its end is not reached again and again', async (t) => {
  const short = await authority(nowMs + 6 * hour)
  const leaf = await issueLeaf({ ...wish, signer: short }, random)
  t.true(isGoodLeaf(leaf.certificate, { ...wish, signer: short }))
  t.true(isGoodLeaf(leaf.certificate, { ...wish, signer: short, nowMs: nowMs + 5 * hour }))
  t.false(isGoodLeaf(leaf.certificate, { ...wish, signer: short, nowMs: nowMs + 6 * hour }))
})
