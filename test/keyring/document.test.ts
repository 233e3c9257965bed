import test from 'ava'
import fc from 'fast-check'
import { toBase64Url } from '../../src/base/bytes.ts'
import { describeError, isLatchkeyError } from '../../src/base/errors.ts'
import {
  encodeCovered,
  encodeDocument,
  maxDocumentBytes,
  parseDocument,
  type DocumentKind,
} from '../../src/keyring/document.ts'
import { sealBackup } from '../../src/keyring/generations.ts'
import { Keyring } from '../../src/keyring/keyring.ts'
import type { RootKey } from '../../src/keyring/root.ts'
import { arbitraryBody } from '../support/arbitrary-body.ts'
import { deps, newKeyring, newRoot } from '../support/keyrings.ts'

const kinds = ['keyring', 'backup'] as const

async function documentOf(kind: DocumentKind): Promise<{ bytes: Buffer; root: RootKey }> {
  const { keyring, root, bytes } = await newKeyring()
  if (kind === 'keyring') return { bytes: Buffer.from(bytes), root }
  const other = newRoot()
  return { bytes: Buffer.from(await sealBackup(keyring, [other], deps)), root: other }
}

/** The code with which `bytes` are refused, or `accepted`. */
async function codeOf(bytes: Uint8Array, kind: DocumentKind, root: RootKey): Promise<string> {
  try {
    using _ = await Keyring.open(bytes, { roots: [root], kind })
    return 'accepted'
  } catch (error) {
    if (isLatchkeyError(error)) return error.code
    throw error
  }
}

test('what is printed is parsed, and prints as before', (t) => {
  fc.assert(
    fc.property(arbitraryBody, fc.constantFrom(...kinds), (body, kind) => {
      const covered = encodeCovered(kind, body)
      const mac = deps.random(32)
      const bytes = encodeDocument(covered, mac)
      const parsed = parseDocument(bytes, kind)
      t.deepEqual(parsed.body, body)
      t.deepEqual(Buffer.from(parsed.covered), Buffer.from(covered))
      t.deepEqual(parsed.mac, mac)
      t.deepEqual(encodeDocument(encodeCovered(kind, parsed.body), parsed.mac), bytes)
    }),
  )
})

for (const kind of kinds) {
  test(`no flipped bit of a ${kind} is accepted, and each has a code`, async (t) => {
    const { bytes, root } = await documentOf(kind)
    const headerEnd = bytes.indexOf('\n')
    const bodyEnd = bytes.indexOf('\n', headerEnd + 1)
    const codes: Record<string, Set<string>> = {
      header: new Set(),
      body: new Set(),
      mac: new Set(),
    }
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const part = bit >> 3 <= headerEnd ? 'header' : bit >> 3 <= bodyEnd ? 'body' : 'mac'
      codes[part]?.add(await codeOf(flipped, kind, root))
    }
    const sorted = (part: string): string[] => [...(codes[part] ?? [])].sort()
    t.deepEqual(sorted('header'), [
      'ERR_KEYRING_EDITED',
      'ERR_KEYRING_FOREIGN',
      'ERR_KEYRING_NEWER_FORMAT',
      'ERR_KEYRING_TORN',
    ])
    t.deepEqual(sorted('body'), ['ERR_KEYRING_EDITED', 'ERR_ROOT_INVALID', 'ERR_ROOT_WRONG'])
    t.deepEqual(sorted('mac'), ['ERR_KEYRING_EDITED'])
  })

  test(`a ${kind} cut at any length is torn`, async (t) => {
    const { bytes, root } = await documentOf(kind)
    for (let length = 0; length < bytes.byteLength; length += 1) {
      t.is(await codeOf(bytes.subarray(0, length), kind, root), 'ERR_KEYRING_TORN', String(length))
    }
    t.is(await codeOf(bytes, kind, root), 'accepted')
  })

  test(`a ${kind} whose tail the disk lost is torn`, async (t) => {
    const { bytes, root } = await documentOf(kind)
    const headerEnd = bytes.indexOf('\n') + 1
    for (let length = headerEnd; length < bytes.byteLength; length += 97) {
      const lost = Buffer.from(bytes).fill(0, length)
      t.is(await codeOf(lost, kind, root), 'ERR_KEYRING_TORN')
    }
    t.is(await codeOf(Buffer.alloc(bytes.byteLength), kind, root), 'ERR_KEYRING_TORN')
  })

  test(`a ${kind} with anything behind it is edited`, async (t) => {
    const { bytes, root } = await documentOf(kind)
    for (const tail of ['\n', ' ', 'x', '\0', bytes.toString()]) {
      const longer = Buffer.concat([bytes, Buffer.from(tail)])
      t.is(await codeOf(longer, kind, root), 'ERR_KEYRING_EDITED')
    }
  })
}

test('a later format is told apart from damage, whatever follows its first line', async (t) => {
  const { bytes, root } = await documentOf('keyring')
  for (const format of ['2', '10', '999999999']) {
    for (const rest of ['', 'x', bytes.toString('latin1'), '\0\0']) {
      const newer = Buffer.from(`latchkey-keyring/${format} 1\n${rest}`, 'latin1')
      t.is(await codeOf(newer, 'keyring', root), 'ERR_KEYRING_NEWER_FORMAT')
    }
  }
  for (const format of ['0', '01', '1000000000', '1.0', '-1', '']) {
    const none = bytes.toString('latin1').replace('/1 ', `/${format} `)
    t.is(await codeOf(Buffer.from(none, 'latin1'), 'keyring', root), 'ERR_KEYRING_FOREIGN')
  }
})

test('the other kind of document is foreign, and the hint says where it belongs', async (t) => {
  for (const [kind, asked] of [
    ['keyring', 'backup'],
    ['backup', 'keyring'],
  ] as const) {
    const { bytes, root } = await documentOf(kind)
    const error = await t.throwsAsync(Keyring.open(bytes, { roots: [root], kind: asked }), {
      code: 'ERR_KEYRING_FOREIGN',
      message: `this file is a Latchkey ${kind}, expected a ${asked}`,
    })
    t.true(isLatchkeyError(error) && error.hint?.includes('"latchkey keys '))
  }
})

for (const [title, content] of [
  ['a text', 'apiVersion: v1\nkind: Secret\n'],
  ['a text without an end of line', 'x'.repeat(200)],
  ['a short text', 'hello'],
  ['bytes that are no text', '\xff\xfe\x00\x01'],
  ['a first line of ours that does not end', `latchkey-keyring/${'1'.repeat(80)}`],
  ['another document of ours', 'latchkey-letter/1 5\nhello\n'],
  ['a first line with more behind it', 'latchkey-keyring/1 5 \nhello\n'],
  ['a carriage return', 'latchkey-keyring/1 5\r\nhello\r\n'],
] as const) {
  test(`${title} is foreign`, async (t) => {
    const bytes = Buffer.from(content, 'latin1')
    t.is(await codeOf(bytes, 'keyring', newRoot()), 'ERR_KEYRING_FOREIGN')
  })
}

test('a document above the limit is refused before it is looked into', async (t) => {
  const { bytes, root } = await documentOf('keyring')
  const large = Buffer.concat([bytes, Buffer.alloc(maxDocumentBytes)])
  t.is(await codeOf(large, 'keyring', root), 'ERR_KEYRING_EDITED')
})

test('no value of a document comes out in an error about it', async (t) => {
  const { bytes } = await documentOf('keyring')
  const values = [...bytes.toString().matchAll(/[A-Za-z0-9_-]{16,}/g)].map(([value]) => value)
  t.true(values.length > 5)
  for (let index = 0; index < bytes.byteLength; index += 1) {
    const altered = Buffer.from(bytes)
    altered[index] = 0x21
    try {
      parseDocument(altered, 'keyring')
    } catch (error) {
      for (const value of values) t.false(describeError(error).includes(value))
    }
  }
})

test('a digest is of all bytes', async (t) => {
  const { bytes } = await documentOf('keyring')
  const other = Buffer.from(bytes)
  other.write(toBase64Url(deps.random(32)), bytes.byteLength - 44)
  t.not(parseDocument(bytes, 'keyring').digest, parseDocument(other, 'keyring').digest)
})
