import test from 'ava'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEtcdUrl } from '../../src/clients/etcd/flags.ts'
import { readKmsCommand } from '../../src/kms/config.ts'
import { fencedBlocks } from '../support/markdown.ts'

const path = join(import.meta.dirname, '..', '..', 'deploy', 'guides', 'keyring-in-etcd.md')

test('the configuration in the guide is one that the plugin takes', async (t) => {
  const guide = await readFile(path, 'utf8')
  const blocks = [...fencedBlocks(guide)].filter(({ language }) => language === 'yaml')
  t.is(blocks.length, 1)
  const command = await readKmsCommand(['--config', 'kms.yaml'], {
    readText: async () => blocks[0]?.text ?? '',
  })
  if (command.kind !== 'serve') return t.fail()
  const { keyring, etcd, nodeName } = command.config
  const { access, prefix } = parseEtcdUrl(keyring, etcd, { cwd: '/', field: 'keyring' })
  t.is(prefix, '/latchkey')
  t.is(access.endpoints.length, 3)
  t.is(access.tls?.identity?.cert, '/etc/latchkey/etcd.crt')
  t.is(nodeName, 'cp-1')
  t.true(guide.includes(`\`${etcd.localCopy}\``))
})
