import { parseArgs } from 'node:util'

/** What can be measured, each with its yardstick, in the order in which it is said. */
export const sections = [
  'rpc',
  'start',
  'memory',
  'api-server',
  'delivery',
  'etcd',
  'migrate',
  'admission',
] as const

/** What `npm run bench` was told. */
export interface BenchOptions {
  readonly wanted: ReadonlySet<string>
  readonly quick: boolean
  /** Of the section `migrate`. */
  readonly objects: number
  readonly rounds: number
}

export const usage = `npm run bench [-- OPTIONS]: prints tables. Figures are of this machine in this run: compare the
columns with each other, not with another run.

  --only SECTIONS  some of ${sections.join(',')} (default: all)
  --quick          a look at whether everything runs; its figures mean little
  --objects COUNT  objects of the section migrate (default 20000)
  --rounds COUNT   its rounds (default 2)
  --help           print this
`

/** Reads the command line; `undefined` when it asks for help. Throws an `Error` that says what is wrong. */
export function readBenchOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: sections.join(',') },
      quick: { type: 'boolean', default: false },
      objects: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '2' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const wanted = new Set(values.only.split(','))
  for (const name of wanted) {
    if (!sections.some((section) => section === name)) {
      throw new Error(`there is no section "${name}"`)
    }
  }
  return {
    wanted,
    quick: values.quick,
    objects: countOf('objects', values.objects),
    rounds: countOf('rounds', values.rounds),
  }
}

function countOf(name: string, text: string): number {
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text)
  throw new Error(`--${name} is not a whole number from 1 to 9999999`)
}
