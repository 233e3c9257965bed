import test from 'ava'
import { LatchkeyError } from '../../src/base/errors.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { createLineLog, type Log, type LogFields, type LogLevel } from '../../src/observe/log.ts'
import { createLog } from '../../src/observe/pino-log.ts'

type Write = (line: string) => void

interface Recorded {
  readonly log: Log
  readonly lines: readonly string[]
  readonly last: () => Record<string, unknown>
}

/** Both logs must write the same lines. */
const logs: Readonly<Record<string, (level: LogLevel, write: Write) => Log>> = {
  'by pino': (level, write) => createLog({ ...common, level, destination: { write } }),
  'by hand': (level, write) => createLineLog({ ...common, level, write }),
}
const common = { program: 'test', now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6) }

for (const [name, open] of Object.entries(logs)) {
  const record = (level: LogLevel = 'debug'): Recorded => {
    const lines: string[] = []
    const log = open(level, (line) => void lines.push(line))
    return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown> }
  }

  test(`${name}: a line is one JSON object with level, time, program, event and the fields`, (t) => {
    const { log, lines, last } = record()
    log.info('door.opened', {
      door: 'front',
      times: 3,
      locked: false,
      keys: ['a', 'b'],
      note: null,
    })
    t.true(lines[0]?.endsWith('}\n'))
    t.deepEqual(last(), {
      level: 'info',
      time: '2026-01-02T03:04:05.006Z',
      program: 'test',
      event: 'door.opened',
      door: 'front',
      times: 3,
      locked: false,
      keys: ['a', 'b'],
      note: null,
    })
  })

  test(`${name}: levels below the configured one are not written`, (t) => {
    const { log, lines } = record('warn')
    log.debug('a')
    log.info('b')
    log.warn('c')
    log.error('d')
    t.deepEqual(
      lines.map((line) => (JSON.parse(line) as { event: string }).event),
      ['c', 'd'],
    )
  })

  test(`${name}: an error is printed with its causes, and ours with code and hint`, (t) => {
    const { log, last } = record()
    const cause = new Error('disk on fire')
    log.warn('e', {}, new LatchkeyError('ERR_IO', 'cannot read', { hint: 'put it out', cause }))
    t.like(last(), {
      error: 'cannot read (ERR_IO): disk on fire',
      code: 'ERR_IO',
      hint: 'put it out',
    })
    log.warn('e', {}, cause)
    t.is(last()['code'], undefined)
  })

  test(`${name}: secrets, bytes and foreign objects that slip past the types are not printed`, (t) => {
    const { log, lines, last } = record()
    using secret = SecretBytes.copyOf(Buffer.from('hunter2'))
    const smuggled = {
      secret,
      bytes: Buffer.from('hunter2'),
      nested: { password: 'hunter2' },
      list: [secret, { password: 'hunter2' }],
      fn: () => 'hunter2',
    } as unknown as LogFields
    log.info('e', smuggled)
    t.false(lines.join('').includes('hunter2'))
    t.like(last(), {
      secret: '[secret]',
      bytes: '[7 bytes]',
      nested: '[object]',
      list: ['[secret]', '[object]'],
      fn: '[function]',
    })
  })

  test(`${name}: a field cannot take the place of a line’s own, and fails nobody by trying`, (t) => {
    const { log, last } = record()
    for (const name of ['event', 'level', 'time', 'program', 'error', 'code', 'hint']) {
      log.info('e', { [name]: 'x' })
      t.like(last(), { event: 'e', level: 'info', [`_${name}`]: 'x' })
    }
  })

  test(`${name}: text is cut, and control characters cannot break a line`, (t) => {
    const { log, lines, last } = record()
    log.info('e', { long: 'x'.repeat(100_000), evil: 'a\n{"event":"forged"}' })
    t.is(lines.length, 1)
    t.is((lines[0]?.match(/\n/g) ?? []).length, 1)
    t.is((last()['long'] as string).length, 1025)
  })
}
