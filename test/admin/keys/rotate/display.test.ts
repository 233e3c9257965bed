import test from 'ava'
import { createDisplay } from '../../../../src/admin/keys/rotate/display.ts'
import type { Terminal } from '../../../../src/admin/terminal.ts'

interface Recorded {
  readonly terminal: Terminal
  readonly data: string[]
  readonly said: string[]
  readonly shown: string[]
}

function record(watched: boolean): Recorded {
  const [data, said, shown]: [string[], string[], string[]] = [[], [], []]
  const terminal: Terminal = {
    interactive: watched,
    data: (line) => data.push(line),
    say: (line) => said.push(line),
    ask: async () => '',
    ...(watched ? { progress: (line: string) => shown.push(line) } : {}),
  }
  return { terminal, data, said, shown }
}

const progress = (done: number): Parameters<ReturnType<typeof createDisplay>>[0] => ({
  event: 'step',
  step: 'migrate',
  state: 'progress',
  text: 'rewriting secrets',
  done,
  total: 20,
  etaSeconds: 61,
})

test('for automation each event is one line of JSON on stdout, and nothing else is said', (t) => {
  const { terminal, data, said } = record(false)
  const tell = createDisplay(terminal, { json: true, now: () => 0 })
  tell(progress(3))
  tell({ event: 'note', text: 'by the way' })
  t.deepEqual(
    data.map((line) => JSON.parse(line) as unknown),
    [
      { at: '1970-01-01T00:00:00.000Z', ...progress(3) },
      { at: '1970-01-01T00:00:00.000Z', event: 'note', text: 'by the way' },
    ],
  )
  t.deepEqual(said, [])
})

test('on a terminal one line follows a step, and a line stays for each that is done', (t) => {
  const { terminal, said, shown } = record(true)
  const tell = createDisplay(terminal, { json: false, now: () => 0 })
  tell(progress(3))
  tell(progress(4))
  tell({ event: 'step', step: 'migrate', state: 'done', text: '20 object(s) rewritten' })
  t.deepEqual(shown, [
    '[7/10] migrate: rewriting secrets, 3 of 20, about 61 s left',
    '[7/10] migrate: rewriting secrets, 4 of 20, about 61 s left',
  ])
  t.deepEqual(said, ['[7/10] migrate: 20 object(s) rewritten'])
})

test('where nobody watches, a step that goes on is told every ten seconds', (t) => {
  const { terminal, said } = record(false)
  let nowMs = 0
  const tell = createDisplay(terminal, { json: false, now: () => nowMs })
  for (let done = 0; done < 25; done += 1) {
    tell(progress(done))
    nowMs += 1000
  }
  t.is(said.length, 3)
})
