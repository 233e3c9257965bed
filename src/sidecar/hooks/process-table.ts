import * as fs from 'node:fs'
import type { ProcessTable, ProcessFacts } from './signal-hook.ts'

/** The processes under `/proc` (proc(5)) that belong to user `uid`. */
export function linuxProcessTable(options: {
  readonly uid: number
  readonly self: number
  readonly signal: ProcessTable['signal']
}): ProcessTable {
  return {
    list: () =>
      fs
        .readdirSync('/proc')
        .filter((name) => /^[1-9][0-9]*$/.test(name) && Number(name) !== options.self)
        .map((pid) => readProcess(pid, options.uid))
        .filter((facts) => facts !== undefined),
    signal: options.signal,
  }
}

function readProcess(pid: string, uid: number): ProcessFacts | undefined {
  try {
    if (fs.statSync(`/proc/${pid}`).uid !== uid) return undefined
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name stands in parentheses and may hold any character, also a parenthesis.
    const end = stat.lastIndexOf(')')
    const name = stat.slice(stat.indexOf('(') + 1, end)
    const [, parent] = stat.slice(end + 2).split(' ')
    const [command = ''] = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0', 1)
    // Servers such as nginx write "nginx: master process …" there.
    const program = command.replace(/:? .*$/, '')
    const names = [name, program.slice(program.lastIndexOf('/') + 1)]
    return { pid: Number(pid), parent: Number(parent), names }
  } catch {
    // It ended while it was looked at.
    return undefined
  }
}
