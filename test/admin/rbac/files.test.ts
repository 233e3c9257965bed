import test from 'ava'
import { writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { suggest, type SuggestFlags } from '../../../src/admin/rbac/suggest.ts'
import { recordedContext } from '../../support/admin-context.ts'
import { decided, suggestFlags } from '../../support/rbac-suggest.ts'

test('files: compressed, half written, of another kind, not there, none', async (t) => {
  const context = await recordedContext(t)
  const line = decided('secret.allowed', 'db')
  await writeFile(context.path('gz'), gzipSync(`${line}\n`))
  await writeFile(context.path('torn'), `${line}\n${line.slice(0, 50)}`)
  await writeFile(context.path('other'), '# a text\nof lines\n')
  await writeFile(context.path('empty'), '')
  const ask = async (given: Partial<SuggestFlags>, stdin = ''): Promise<void> => {
    context.data.length = 0
    await suggest(
      {
        terminal: context.terminal,
        cwd: context.cwd,
        stdin: () => Readable.from([Buffer.from(stdin)]),
        cluster: undefined,
        signal: new AbortController().signal,
      },
      { ...suggestFlags, output: 'table', ...given },
    )
  }
  for (const file of ['gz', 'torn']) {
    await ask({ audit: [file] })
    t.regex(context.data[1] ?? '', /shop +shop\/web +mount +secrets\/db .* used/)
  }
  await ask({ audit: ['-'] }, line)
  t.is(context.data.length, 2)
  await ask({ audit: ['empty'] })
  t.is(context.data.length, 1)
  await t.throwsAsync(ask({ audit: ['other'] }), { code: 'ERR_CONFIG_INVALID' })
  await t.throwsAsync(ask({ apiAudit: ['gz'] }), { code: 'ERR_CONFIG_INVALID' })
  await t.throwsAsync(ask({ audit: ['nowhere'] }), { code: 'ERR_USAGE' })
  await t.throwsAsync(ask({}), { code: 'ERR_USAGE' })
  await t.throwsAsync(ask({ audit: ['-'], apiAudit: ['-'] }), { code: 'ERR_USAGE' })
})
