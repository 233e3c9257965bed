import test from 'ava'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { resolveGroup } from '../../src/net/group.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('a number is taken as it is, a name is looked up', async (t) => {
  const groupFile = join(await temporaryDirectory(t), 'group')
  await writeFile(groupFile, 'root:x:0:\nkube-apiserver:x:4321:kube\nodd:x:notanumber:\nshort\n')
  const look = (group: string) => resolveGroup(group, { field: 'socket-group', groupFile })
  t.is(await look('0'), 0)
  t.is(await look('65534'), 65_534)
  t.is(await look('kube-apiserver'), 4321)
  for (const unknown of ['kube', 'odd', 'short', '', '-1', '4294967295', '1e3', 'root:x']) {
    const error = await t.throwsAsync(look(unknown), { code: 'ERR_CONFIG_INVALID' })
    t.regex(error.message, /^socket-group /)
  }
  await t.throwsAsync(resolveGroup('root', { field: 'g', groupFile: '/nowhere' }), {
    code: 'ERR_CONFIG_INVALID',
  })
})
