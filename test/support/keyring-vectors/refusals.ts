import type { DocumentVector, RefusalVector } from './shape.ts'

/** Documents that are no longer, or never were, as they should be. */
export function makeRefusals(documents: readonly DocumentVector[]): readonly RefusalVector[] {
  const named = (title: string): DocumentVector => {
    const vector = documents.find((document) => document.title === title)
    if (vector === undefined) throw new Error(`there is no vector ${title}`)
    return vector
  }
  const keyring = named('activated')
  const backup = named('backup')
  const { document } = keyring
  const edit = (from: RegExp | string, to: string): string => {
    const edited = document.replace(from, to)
    if (edited === document) throw new Error('the edit changed nothing')
    const [header = '', body = '', mac = ''] = edited.split('\n')
    return `${header.replace(/[0-9]+$/, String(body.length))}\n${body}\n${mac}\n`
  }
  const cases: readonly (readonly [title: string, code: string, document: string])[] = [
    ['empty', 'ERR_KEYRING_TORN', ''],
    ['all zero', 'ERR_KEYRING_TORN', '\0'.repeat(64)],
    ['cut in the first line', 'ERR_KEYRING_TORN', document.slice(0, 21)],
    ['cut in the body', 'ERR_KEYRING_TORN', document.slice(0, 200)],
    ['cut before the last line feed', 'ERR_KEYRING_TORN', document.slice(0, -1)],
    [
      'zero from the middle',
      'ERR_KEYRING_TORN',
      `${document.slice(0, 300)}${'\0'.repeat(document.length - 300)}`,
    ],
    ['a line feed too many', 'ERR_KEYRING_EDITED', `${document}\n`],
    ['another generation', 'ERR_KEYRING_EDITED', edit('"generation":3', '"generation":4')],
    ['a key retired by hand', 'ERR_KEYRING_EDITED', edit('"superseded"', '"retired"')],
    ['two active keys', 'ERR_KEYRING_EDITED', edit('"superseded"', '"active"')],
    ['white space', 'ERR_KEYRING_EDITED', edit('"generation":3', '"generation": 3')],
    [
      'a field twice',
      'ERR_KEYRING_EDITED',
      edit('"generation":3', '"generation":3,"generation":3'),
    ],
    ['an escaped letter', 'ERR_KEYRING_EDITED', edit('"prod-eu.1"', '"\\u0070rod-eu.1"')],
    ['an unknown field', 'ERR_KEYRING_EDITED', edit('{"keyringId"', '{"x":1,"keyringId"')],
    [
      'another cluster',
      'ERR_ROOT_WRONG',
      edit('"clusterId":"prod-eu.1"', '"clusterId":"prod-eu.2"'),
    ],
    ['another slot id', 'ERR_ROOT_WRONG', edit(/("slots":\[{"id":")./, '$1_')],
    ['a parameter too many', 'ERR_ROOT_INVALID', edit('"params":{', '"params":{"x":1,')],
    ['the next format', 'ERR_KEYRING_NEWER_FORMAT', 'latchkey-keyring/2 5\nhello\n'],
    ['a text', 'ERR_KEYRING_FOREIGN', 'root:x:0:0:root:/root:/bin/bash\n'],
    ['a backup', 'ERR_KEYRING_FOREIGN', backup.document],
    ['a keyring for another root', 'ERR_ROOT_WRONG', named('under a new root').document],
  ]
  return [
    ...cases.map(([title, code, bytes]) => ({
      title,
      kind: 'keyring' as const,
      roots: keyring.roots,
      code,
      document: bytes,
    })),
    {
      title: 'a keyring in the place of a backup',
      kind: 'backup',
      roots: keyring.roots,
      code: 'ERR_KEYRING_FOREIGN',
      document,
    },
    {
      title: 'a keyring under the first line of a backup',
      kind: 'backup',
      roots: keyring.roots,
      code: 'ERR_ROOT_WRONG',
      document: document.replace('latchkey-keyring', 'latchkey-backup'),
    },
  ]
}
