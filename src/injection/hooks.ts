import { orList, readChoice, readText, shortened } from './fields.ts'
import type { Report } from './fields.ts'
import { readPath } from './paths.ts'
import { httpMethods, signalNames } from './plan.ts'
import type { Hook } from './plan.ts'
import type { Finding } from './problem.ts'
import { nounOf } from './tree.ts'
import type { MapNode, Tree } from './tree.ts'

const kinds = ['http', 'touch', 'signal'] as const
/** What may stand beside each kind. */
const companions = { http: ['method'], touch: [], signal: ['process'] } as const
const example = '{ http: http://127.0.0.1:8080/-/reload }'

/** Reports at `field` of `onChange`, or, without a field, at `onChange` as a whole. */
type ReportAt = (field: string | undefined) => Report

/** Reads `onChange`: exactly one of `http`, `touch` and `signal`, and what belongs to it. */
export function readHook(node: Tree, reportAt: ReportAt): Hook | undefined {
  const report = reportAt(undefined)
  if (node.kind !== 'map') {
    report(node, { problem: `expected a mapping, got ${nounOf(node)}`, fix: `write ${example}` })
    return undefined
  }
  const present = kinds.filter((kind) => find(node, kind) !== undefined)
  const [kind, second] = present
  if (kind === undefined || second !== undefined) {
    const names = kind === undefined ? node.fields.map(({ name }) => shortened(name)) : present
    const got = names.length === 0 ? 'none' : names.slice(0, 3).join(' and ')
    report(node, {
      problem: `expected exactly one of http, touch and signal, got ${got}`,
      fix: `write ${example}`,
    })
    return undefined
  }
  return fieldsAreKnown(node, kind, reportAt) ? readKind(node, kind, reportAt) : undefined
}

function fieldsAreKnown(node: MapNode, kind: (typeof kinds)[number], reportAt: ReportAt): boolean {
  const known: readonly string[] = [kind, ...companions[kind]]
  const seen = new Set<string>()
  for (const { name, place } of node.fields) {
    const at = { ...node, place }
    if (!known.includes(name)) {
      const finding = { problem: `${kind} does not take it`, fix: 'remove it' }
      reportAt(name)(at, finding)
      return false
    }
    if (seen.has(name)) {
      reportAt(name)(at, { problem: 'is given twice', fix: 'remove one of the two' })
      return false
    }
    seen.add(name)
  }
  return true
}

function readKind(
  node: MapNode,
  kind: (typeof kinds)[number],
  reportAt: ReportAt,
): Hook | undefined {
  const value = find(node, kind)
  if (value === undefined) return undefined
  switch (kind) {
    case 'http': {
      const url = readUrl(value, reportAt('http'))
      const method = find(node, 'method')
      const verb =
        method === undefined ? 'POST' : readChoice(method, httpMethods, reportAt('method'))
      return url === undefined || verb === undefined ? undefined : { kind, url, method: verb }
    }
    case 'touch': {
      const report = reportAt('touch')
      const written = readPath(value, report)
      if (written === undefined) return undefined
      if (!written.directory) return { kind, path: written.path }
      report(value, { problem: 'names a directory', fix: 'write the name of a file' })
      return undefined
    }
    case 'signal': {
      const signal = readChoice(value, signalNames, reportAt('signal'))
      const process = readProcess(node, reportAt('process'))
      return signal === undefined || process === undefined ? undefined : { kind, signal, process }
    }
  }
}

function readProcess(node: MapNode, report: Report): string | undefined {
  const value = find(node, 'process')
  if (value === undefined) {
    report(node, {
      problem: 'is missing: a signal needs the name of the program that is to get it',
      fix: 'add process: NAME, such as process: nginx',
    })
    return undefined
  }
  const name = readText(value, 'the name of a program, such as nginx', report)
  if (name === undefined) return undefined
  if (/^[\x21-\x2e\x30-\x7e]{1,64}$/.test(name)) return name
  report(value, {
    problem: 'is not the name of a program',
    fix: 'write it without directory, spaces or arguments, such as nginx',
  })
  return undefined
}

const localHosts = ['localhost', '127.0.0.1', '[::1]']

function readUrl(node: Tree, report: Report): string | undefined {
  const text = readText(node, 'a URL, such as http://127.0.0.1:8080/-/reload', report)
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null) {
    report(node, { problem: 'is not a URL', fix: 'write http://127.0.0.1:PORT/PATH' })
    return undefined
  }
  const finding = refuseUrl(url)
  if (finding === undefined) return url.href
  report(node, finding)
  return undefined
}

function refuseUrl(url: URL): Finding | undefined {
  if (url.protocol !== 'http:') {
    return {
      problem: 'is not a plain http: URL',
      fix: 'write http:// (the call never leaves the pod)',
    }
  }
  if (!localHosts.includes(url.hostname)) {
    return {
      problem: 'does not stay in the pod',
      fix: `write ${orList(localHosts)} as the host`,
    }
  }
  if (url.username !== '' || url.password !== '') {
    return {
      problem: 'holds a user name or password',
      fix: 'remove it: annotations are no place for secrets',
    }
  }
  if (url.hash !== '') {
    return { problem: 'holds a fragment, which is never sent', fix: 'remove # and the rest' }
  }
  if (url.href.length > 2000) {
    return { problem: 'is longer than 2000 characters', fix: 'shorten it' }
  }
  return undefined
}

function find(node: MapNode, name: string): Tree | undefined {
  return node.fields.find((field) => field.name === name)?.value
}
