import test from 'ava'
import fc from 'fast-check'
import { isLatchkeyError } from '../../src/base/errors.ts'
import { secretManifest } from '../../src/storage/secret-manifest.ts'
import { readStoredSecret, type StoredSecret } from '../../src/storage/secret-object.ts'
import { etcdVectors } from '../support/etcd-vectors.ts'

interface Manifest {
  readonly metadata: { readonly annotations?: object; readonly labels?: object }
  readonly data: Readonly<Record<string, string>>
}

const manifestOf = (secret: StoredSecret): Manifest => {
  using bytes = secretManifest(secret)
  return JSON.parse(Buffer.from(bytes.expose()).toString()) as Manifest
}

test('a Secret that a real API server has serialised becomes a manifest', async (t) => {
  const { objects } = await etcdVectors()
  const manifests = ['small', 'large', 'empty'].map((name) => {
    const vector = objects.find(({ key }) => key.endsWith(`identity-${name}`))
    const secret = readStoredSecret(vector?.plaintext ?? Buffer.alloc(0))
    return secret === undefined ? undefined : manifestOf(secret)
  })
  t.deepEqual(manifests as unknown[], [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: 'small',
        namespace: 'default',
        labels: { app: 'vectors' },
        annotations: { note: 'kept' },
      },
      type: 'Opaque',
      immutable: true,
      data: { username: 'YWRtaW4=', password: 'AP8K', empty: '' },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'large', namespace: 'default' },
      type: 'example.com/large',
      data: { blob: Buffer.alloc(3000, 7).toString('base64') },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'empty', namespace: 'default' },
      type: 'Opaque',
      data: {},
    },
  ])
})

test('values and names of any kind survive the manifest', (t) => {
  const texts = fc.dictionary(fc.string(), fc.string())
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.uint8Array()), texts, (data, labels) => {
      const secret = {
        name: 'n',
        namespace: 's',
        labels: new Map(Object.entries(labels)),
        annotations: new Map(),
        type: 'Opaque',
        immutable: false,
        data: new Map(Object.entries(data)),
      }
      const manifest = manifestOf(secret)
      const read = Object.entries(manifest.data).map(([name, value]) => [
        name,
        Buffer.from(value, 'base64'),
      ])
      t.deepEqual(
        read,
        [...secret.data].map(([name, value]) => [name, Buffer.from(value)]),
      )
      for (const [, value] of Object.entries(manifest.data)) {
        t.is(Buffer.from(value, 'base64').toString('base64'), value)
      }
    }),
    { numRuns: 50 },
  )
})

test('what kubectl would take for the last applied state is left out', (t) => {
  const annotations = new Map([
    ['kubectl.kubernetes.io/last-applied-configuration', '{"data":{"a":"YQ=="}}'],
    ['note', 'kept'],
  ])
  const manifest = manifestOf({
    name: 'n',
    namespace: 's',
    labels: new Map(),
    annotations,
    type: '',
    immutable: false,
    data: new Map(),
  })
  t.deepEqual(manifest.metadata.annotations, { note: 'kept' })
})

test('another object is none, and damaged bytes are refused by code', async (t) => {
  t.is(readStoredSecret(Buffer.from('{"kind":"Secret"}')), undefined)
  t.is(readStoredSecret(Buffer.alloc(0)), undefined)
  const { objects } = await etcdVectors()
  const [{ plaintext }] = objects
  t.throws(() => readStoredSecret(plaintext.subarray(0, plaintext.byteLength - 9)), {
    code: 'ERR_STORED_MALFORMED',
  })
  for (let at = 0; at < plaintext.byteLength; at += 1) {
    const edited = Buffer.from(plaintext)
    edited[at] = (edited[at] ?? 0) ^ 0x40
    try {
      readStoredSecret(edited)
    } catch (error) {
      t.true(isLatchkeyError(error, 'ERR_STORED_MALFORMED'))
    }
  }
})
