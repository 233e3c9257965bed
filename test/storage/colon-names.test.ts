import test from 'ava'
import { parse } from 'yaml'
import { parseEncryptionConfig } from '../../src/storage/encryption-config.ts'
import { judge } from '../../src/storage/expectation.ts'
import { storedValueOpener } from '../../src/storage/open.ts'
import { parseEtcdKey } from '../../src/storage/resource.ts'
import { readStoredValue } from '../../src/storage/stored-value.ts'
import { etcdVectors } from '../support/etcd-vectors.ts'

// Kubernetes takes a colon in the name of a key (validation_encryption.go, validateKey), and writes one
// behind the name: which is which, only the configuration tells.

const vectors = await etcdVectors()
const local = vectors.objects.filter(({ title }) => /^(?:secretbox|aesgcm|aescbc)/.test(title))

/** The key's name in a value. */
const nameIn = (value: Buffer): string =>
  /^k8s:enc:[a-z]+:v1:([^:]+):/.exec(value.toString('latin1'))?.[1] ?? ''

test('a value under a key whose name has colons opens, and is what was to be written', (t) => {
  t.true(local.length >= 3)
  for (const { key, value, plaintext } of local) {
    const name = nameIn(value)
    for (const other of [`team:${name}`, `${name}:2026:a`, 'a:']) {
      const renamed = Buffer.from(
        value.toString('latin1').replace(`:${name}:`, `:${other}:`),
        'latin1',
      )
      const [, , kind = ''] = renamed.toString('latin1').split(':')
      const text = vectors.encryptionConfig.replaceAll(
        new RegExp(`name: "?${name}"?$`, 'gm'),
        `name: "${other}"`,
      )
      using config = parseEncryptionConfig(parse(text))
      using opener = storedValueOpener({ local: config.keys })
      const stored = readStoredValue(renamed)
      using opened = opener.open(key, stored)
      t.deepEqual(Buffer.from(opened.expose()), plaintext, other)
      const at = parseEtcdKey(key)
      if (at === undefined) return t.fail()
      const writes = (writer: string) =>
        judge(at, stored, { config: { ...config, writerOf: () => writer } })
      t.is(writes(`${kind}:v1:${other}`), undefined)
      t.is(writes(`${kind}:v1:${other}x`), 'provider')
      t.is(writes(`other:v1:${other}`), 'provider')
    }
  }
})
