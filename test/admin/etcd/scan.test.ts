import test, { type ExecutionContext } from 'ava'
import { writeFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { readEncryptionConfig } from '../../../src/admin/etcd/read-encryption-config.ts'
import {
  etcdScan,
  resourcesOf,
  type EtcdScanDeps,
  type EtcdScanFlags,
} from '../../../src/admin/etcd/scan/command.ts'
import { snapshotSource } from '../../../src/admin/etcd/snapshot-source.ts'
import type { ScanReport } from '../../../src/storage/scan.ts'
import { recordedContext, type RecordedContext } from '../../support/admin-context.ts'
import { etcdVectors, openVectorBackup, snapshotVector } from '../../support/etcd-vectors.ts'

const vectors = await etcdVectors()
const snapshot = await snapshotVector()
const [first, second] = vectors.keyIds
const flags: EtcdScanFlags = {
  resource: [],
  expectOnly: [],
  noPlaintext: false,
  history: false,
  prefix: '/registry',
  output: 'json',
}

/** A context with the real snapshot and configuration in its directory. */
async function context(t: ExecutionContext): Promise<RecordedContext> {
  const made = await recordedContext(t)
  await writeFile(made.path('snapshot.db'), snapshot.file)
  await writeFile(made.path('encryption.yaml'), vectors.encryptionConfig)
  return made
}

function deps(made: RecordedContext, more: Partial<EtcdScanDeps> = {}): EtcdScanDeps {
  return {
    terminal: made.terminal,
    now: () => 0,
    sources: [snapshotSource(made.path('snapshot.db'))],
    keyring: undefined,
    config: undefined,
    signal: new AbortController().signal,
    ...more,
  }
}

test('a snapshot is counted without any key, and the report has the documented form', async (t) => {
  const made = await context(t)
  t.true(await etcdScan(deps(made), flags))
  const report = JSON.parse(made.data.join('')) as ScanReport
  const ours = report.resources.filter(({ provider }) => provider === 'kms:v2:latchkey')
  t.deepEqual(
    ours.map(({ bytes, ...row }) => ({ ...row, counted: bytes > 0 })),
    [
      { resource: 'secrets', provider: 'kms:v2:latchkey', keyId: first, objects: 6, counted: true },
      {
        resource: 'secrets',
        provider: 'kms:v2:latchkey',
        keyId: second,
        objects: 3,
        counted: true,
      },
    ],
  )
  const total = report.resources.reduce((sum, { objects }) => sum + objects, 0)
  t.is(total, vectors.objects.length + 1)
  t.is(report.sources[0]?.revision, snapshot.revision)
  t.is(report.sources[0]?.compactedRevision, snapshot.compactedRevision)
  t.is(report.sources[0]?.checksum, 'verified')
  const superseded = snapshot.records.filter(({ state }) => state === 'superseded')
  t.is(
    report.history?.reduce((sum, { objects }) => sum + objects, 0),
    superseded.length,
  )
})

test('yaml says the same, and the table shows every row', async (t) => {
  const made = await context(t)
  await etcdScan(deps(made), flags)
  const json = JSON.parse(made.data.splice(0).join('')) as ScanReport
  await etcdScan(deps(made), { ...flags, output: 'yaml' })
  t.deepEqual(parse(made.data.splice(0).join('\n')) as unknown, json)
  await etcdScan(deps(made), { ...flags, output: 'table' })
  t.is(
    made.data.length,
    1 + [json.resources, json.undecodable, json.exempt, json.history ?? []].flat().length,
  )
})

test('what is not as expected is counted, named and told', async (t) => {
  const made = await context(t)
  const only = { ...flags, expectOnly: [second], resource: ['secrets'] }
  t.false(await etcdScan(deps(made), only))
  const said = made.said.join('\n')
  t.regex(said, new RegExp(`6 of secrets under another key \\(kms:v2:latchkey, ${first}\\)`))
  t.regex(said, /3 of secrets in plaintext/)
  t.regex(said, /\/registry\/secrets\/default\/\S+: under another key/)
  t.regex(said, /and 17 more/)
  t.false(await etcdScan(deps(made), { ...flags, noPlaintext: true, resource: ['configmaps'] }))
  t.true(await etcdScan(deps(made), { ...flags, noPlaintext: true, resource: ['ranges'] }))
})

test('where nothing is found, nothing is proved', async (t) => {
  const made = await context(t)
  t.false(await etcdScan(deps(made), { ...flags, prefix: '/kubernetes.io' }))
  t.regex(made.said.join('\n'), /no API server with --etcd-prefix \/kubernetes.io/)
  t.true(await etcdScan(deps(made), { ...flags, resource: ['secrets', 'jobs'] }))
  t.regex(made.said.join('\n'), /there is no object of jobs.batch/)
})

test('with the keys each object is decrypted as proof, and a missing key is told by cause', async (t) => {
  const made = await context(t)
  using keyring = await openVectorBackup()
  using config = await readEncryptionConfig('encryption.yaml', made.cwd)
  // The configuration of the vectors lists every provider, so most are not the one that writes now.
  t.false(await etcdScan(deps(made, { keyring, config }), { ...flags, resource: ['secrets'] }))
  const withConfig = JSON.parse(made.data.splice(0).join('')) as ScanReport
  t.deepEqual(withConfig.proof, { decrypted: 27, failures: [] })
  t.false(await etcdScan(deps(made, { keyring }), flags))
  const without = JSON.parse(made.data.splice(0).join('')) as ScanReport
  t.is(without.proof?.decrypted, 12)
  t.deepEqual(
    [...new Set(without.proof?.failures.map(({ cause }) => cause))],
    ['ERR_STORED_KEY_MISSING'],
  )
})

test('a built-in resource may be named without its group; nonsense is refused', (t) => {
  t.deepEqual([...(resourcesOf(['deployments', 'secrets']) ?? [])], ['deployments.apps', 'secrets'])
  t.is(resourcesOf([]), undefined)
  for (const name of ['', 'Secrets', '*.*', 'secrets/x', '../x']) {
    t.throws(() => resourcesOf([name]), { code: 'ERR_USAGE' }, name)
  }
})

test('an encryption configuration that cannot be read is named', async (t) => {
  const made = await context(t)
  await t.throwsAsync(readEncryptionConfig('none', made.cwd), { code: 'ERR_IO' })
  await writeFile(made.path('bad'), 'a: [')
  await t.throwsAsync(readEncryptionConfig('bad', made.cwd), { code: 'ERR_CONFIG_INVALID' })
})
