import test from 'ava'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { encodeCovered, encodeDocument, parseDocument } from '../../src/keyring/document.ts'
import { addRoots } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import { activateKey, stageKey } from '../../src/keyring/transitions.ts'
import { cheapPassphraseRoot, deps, newKeyring, reopen } from '../support/keyrings.ts'

type Json = Record<string, unknown>
interface Body extends Json {
  slots: [Json, ...Json[]]
  keys: [Json, Json, ...Json[]]
}

const { keyring: first, root } = await newKeyring('prod')
const staged = await reopen(stageKey(first, deps).document, root)
const { bytes: document } = activateKey(staged, deps).document
const [, line = '', mac = ''] = Buffer.from(document).toString().split('\n')

/** The document with another body, spelled as we spell it, and the MAC it had. */
function withBody(edit: (body: Body) => unknown): Buffer {
  const body = JSON.parse(line) as Body
  const edited = JSON.stringify(edit(body) ?? body)
  return Buffer.from(`latchkey-keyring/1 ${Buffer.byteLength(edited)}\n${edited}\n${mac}\n`)
}

const id = 'AAAAAAAAAAAAAAAAAAAAAA'
const digest = `sha256:${'0'.repeat(64)}`

const malformed: Record<string, (body: Body) => unknown> = {
  'has no object at body': () => [],
  'has missing or unknown fields in body': (body) => ({ ...body, more: 1 }),
  'has a bad keyringId': (body) => ({ ...body, keyringId: 'AAAAAAAAAAAAAAAAAAAAAB' }),
  'has a bad clusterId': (body) => ({ ...body, clusterId: 'two words' }),
  'has a bad generation': (body) => ({ ...body, generation: 0 }),
  'has a bad createdAt': (body) => ({ ...body, createdAt: '2026-01-02T03:04:05.000Z' }),
  'has no list of up to 64 at ancestors': (body) => ({
    ...body,
    ancestors: Array(65).fill(digest),
  }),
  'has a bad ancestors[1]': (body) => ({ ...body, ancestors: [digest, digest.slice(1)] }),
  'has no list of up to 16 at slots': (body) => ({ ...body, slots: {} }),
  'has no slots': (body) => ({ ...body, slots: [] }),
  'has two slots of one id': (body) => ({ ...body, slots: [body.slots[0], body.slots[0]] }),
  'has no object at slots[0]': (body) => ({ ...body, slots: [null] }),
  'has missing or unknown fields in slots[0]': (body) => {
    delete body.slots[0]['params']
  },
  'has a bad slots[0].id': (body) => {
    body.slots[0]['id'] = `${id}A`
  },
  'has a bad slots[0].type': (body) => {
    body.slots[0]['type'] = 'File'
  },
  'has a bad slots[0].createdAt': (body) => {
    body.slots[0]['createdAt'] = ''
  },
  'has no object at slots[0].params': (body) => {
    body.slots[0]['params'] = []
  },
  'has a bad entry in slots[0].params': (body) => {
    body.slots[0]['params'] = { nested: {} }
  },
  'has a bad slots[0].wrapped': (body) => {
    body.slots[0]['wrapped'] = 'A'.repeat(5463)
  },
  'has no list of up to 4096 at keys': (body) => ({ ...body, keys: 'x' }),
  'has two keys of one id': (body) => {
    body.keys[1]['id'] = body.keys[0]['id']
  },
  'does not have exactly one active key': (body) => {
    body.keys[1]['state'] = 'superseded'
  },
  'has more than one staged key': (body) => {
    const spare = (tail: string): Json => ({
      ...body.keys[0],
      id: `lk1.1.${tail.repeat(21)}A`,
      state: 'staged',
    })
    body.keys.push(spare('x'), spare('y'))
  },
  'has missing or unknown fields in keys[0]': (body) => {
    body.keys[0]['state'] = 'destroyed'
  },
  'has a bad keys[0].id': (body) => {
    body.keys[0]['id'] = 'lk2.1.x'
  },
  'has a bad keys[0].state': (body) => {
    body.keys[0]['state'] = 'compromised'
  },
  'has a bad keys[0].clusterId': (body) => {
    body.keys[0]['clusterId'] = 7
  },
  'has a bad keys[0].createdAt': (body) => {
    body.keys[0]['createdAt'] = null
  },
  'has a bad keys[0].changedAt': (body) => {
    body.keys[0]['changedAt'] = 'now'
  },
  'has a bad keys[0].wrapped': (body) => {
    body.keys[0]['wrapped'] = 'AB'
  },
}

for (const [what, edit] of Object.entries(malformed)) {
  test(`a body that ${what} is edited, and is told so`, (t) => {
    t.throws(() => parseDocument(withBody(edit), 'keyring'), {
      code: 'ERR_KEYRING_EDITED',
      message: `the keyring was edited or damaged: it ${what}`,
    })
  })
}

for (const [title, params] of [
  ['a name with a capital', { Salt: 'x' }],
  ['a name of 33 characters', { ['a'.repeat(33)]: 'x' }],
  ['a name of the prototype', JSON.parse('{"__proto__":"x"}') as Json],
  ['a number that loses digits', { n: 2 ** 53 }],
  ['a fraction', { n: 0.5 }],
  ['a text with a line feed', { n: '\n' }],
  ['a text that is not ASCII', { n: 'é' }],
  ['a text of 1025 characters', { n: 'x'.repeat(1025) }],
  ['a boolean', { n: true }],
] as const) {
  test(`slot parameters with ${title} are refused`, (t) => {
    const edited = withBody((body) => {
      body.slots[0]['params'] = params
    })
    t.throws(() => parseDocument(edited, 'keyring'), { code: 'ERR_KEYRING_EDITED' })
  })
}

for (const [title, edit] of [
  ['white space', (text: string) => text.replace(',', ', ')],
  [
    'another order of fields',
    (text: string) =>
      text.replace(/(."keyringId":"[^"]*"),("clusterId":"[^"]*")/, '{$2,$1').replace('{{', '{'),
  ],
  [
    'a field twice',
    (text: string) => text.replace('"generation":3', '"generation":3,"generation":3'),
  ],
  [
    'a number spelled otherwise',
    (text: string) => text.replace('"generation":3', '"generation":3.0'),
  ],
  ['an exponent', (text: string) => text.replace('"generation":3', '"generation":3e0')],
  ['an escaped letter', (text: string) => text.replace('"prod"', '"\\u0070rod"')],
  ['no JSON', (text: string) => text.replace('{', '(')],
] as const) {
  test(`a body with ${title} is edited`, (t) => {
    const edited = edit(line)
    t.not(edited, line)
    const bytes = Buffer.from(`latchkey-keyring/1 ${edited.length}\n${edited}\n${mac}\n`)
    t.throws(() => parseDocument(bytes, 'keyring'), { code: 'ERR_KEYRING_EDITED' })
  })
}

const mutations: Record<string, { code: string; edit: (body: Body) => unknown }> = {
  keyringId: { code: 'ERR_ROOT_WRONG', edit: (body) => ({ ...body, keyringId: id }) },
  clusterId: { code: 'ERR_ROOT_WRONG', edit: (body) => ({ ...body, clusterId: 'other' }) },
  generation: { code: 'ERR_KEYRING_EDITED', edit: (body) => ({ ...body, generation: 99 }) },
  createdAt: {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => ({ ...body, createdAt: '2030-01-01T00:00:00Z' }),
  },
  ancestors: { code: 'ERR_KEYRING_EDITED', edit: (body) => ({ ...body, ancestors: [digest] }) },
  'slots.id': { code: 'ERR_ROOT_WRONG', edit: (body) => void (body.slots[0]['id'] = id) },
  'slots.type': { code: 'ERR_ROOT_WRONG', edit: (body) => void (body.slots[0]['type'] = 'other') },
  'slots.createdAt': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.slots[0]['createdAt'] = '2030-01-01T00:00:00Z'),
  },
  'slots.params': {
    code: 'ERR_ROOT_WRONG',
    edit: (body) => void (body.slots[0]['params'] = { salt: id }),
  },
  'slots.params, of another form': {
    code: 'ERR_ROOT_INVALID',
    edit: (body) => void (body.slots[0]['params'] = { salt: 'short' }),
  },
  'slots.wrapped': {
    code: 'ERR_ROOT_WRONG',
    edit: (body) => void (body.slots[0]['wrapped'] = id),
  },
  'slots, one more': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void body.slots.push({ ...body.slots[0], id }),
  },
  'keys.id': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['id'] = `lk1.1.${id}`),
  },
  'keys.clusterId': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['clusterId'] = 'other'),
  },
  'keys.state': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['state'] = 'retired'),
  },
  'keys.createdAt': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['createdAt'] = '2030-01-01T00:00:00Z'),
  },
  'keys.changedAt': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['changedAt'] = '2030-01-01T00:00:00Z'),
  },
  'keys.wrapped': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => void (body.keys[0]['wrapped'] = body.keys[1]['wrapped']),
  },
  'keys, one less': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => ({ ...body, keys: body.keys.slice(1) }),
  },
  'keys, another order': {
    code: 'ERR_KEYRING_EDITED',
    edit: (body) => ({ ...body, keys: body.keys.toReversed() }),
  },
}

for (const [field, { code, edit }] of Object.entries(mutations)) {
  test(`a document with another value of ${field} under the MAC it had is ${code}`, async (t) => {
    await t.throwsAsync(Keyring.open(withBody(edit), { roots: [root] }), { code })
  })
}

test('with a second way in, altered slots and ids are seen for what they are', async (t) => {
  const passphrase = cheapPassphraseRoot('a passphrase')
  const two = await addRoots(staged, [passphrase], deps)
  const { body, mac: was } = parseDocument(two.bytes, 'keyring')
  const [slot, other] = body.slots
  if (slot === undefined || other === undefined) throw new Error('two slots were made')
  const altered = { ...slot, wrapped: deps.random(8) }
  const bytes = encodeDocument(encodeCovered('keyring', { ...body, slots: [altered, other] }), was)
  await t.throwsAsync(Keyring.open(bytes, { roots: [root] }), { code: 'ERR_ROOT_WRONG' })
  await t.throwsAsync(Keyring.open(bytes, { roots: [root, passphrase] }), {
    code: 'ERR_KEYRING_EDITED',
  })
})

test('every mutation under test changes a document that opens', async (t) => {
  const keyring = await Keyring.open(document, { roots: [root] })
  t.is(keyring.generation, 3)
  for (const { edit } of Object.values(mutations)) {
    t.false(withBody(edit).equals(Buffer.from(document)))
  }
  t.true(isLatchkeyError(t.throws(() => parseDocument(Buffer.of(), 'keyring'))))
})
