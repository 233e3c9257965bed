import test from 'ava'
import { isatty } from 'node:tty'
import { execPlugins } from '../../cmd/exec-plugins.ts'

const { run } = execPlugins
const script = (text: string): Parameters<typeof run>[0] => ({
  command: process.execPath,
  args: ['--eval', text],
  env: { PROFILE: 'ops' },
  terminal: 'Never',
})
const env = (isInteractive: boolean): Readonly<Record<string, string>> => ({
  KUBERNETES_EXEC_INFO: String(isInteractive),
})

test('a plugin has our environment and its own, and nothing to read', async (t) => {
  const text = `
    const { PATH, PROFILE, KUBERNETES_EXEC_INFO } = process.env
    const read = require('fs').readFileSync(0, 'utf8')
    console.log(JSON.stringify([PATH, PROFILE, KUBERNETES_EXEC_INFO, read]))`
  const printed = await run(script(text), env)
  t.deepEqual(JSON.parse(printed.toString()), [process.env['PATH'], 'ops', 'false', ''])
})

test('one that fails is named, with how it ended', async (t) => {
  for (const [text, message] of [
    ['process.exit(3)', /^node exited with 3$/],
    ['process.kill(process.pid, "SIGTERM")', /^node ended by SIGTERM$/],
    ['for (;;) require("fs").writeSync(1, "x".repeat(50_000))', /^node prints too much$/],
  ] as const) {
    await t.throwsAsync(run(script(text), env), { code: 'ERR_KUBERNETES_CONFIG', message })
  }
  const absent = { ...script(''), command: 'latchkey-no-such-plugin' }
  await t.throwsAsync(run(absent, env), { message: /cannot be run \(ENOENT\)$/ })
})

test('one that needs a terminal is not run without', async (t) => {
  t.false(isatty(0), 'ava gives its files no terminal')
  await t.throwsAsync(run({ ...script(''), terminal: 'Always' }, env), {
    message: 'node needs a terminal',
  })
})
