import type { Finding } from './problem.ts'
import { nounOf } from './tree.ts'
import type { Tree } from './tree.ts'

/** Takes down what is wrong at a node. */
export type Report = (node: Tree, finding: Finding) => void

/** Reads one field's value, or reports why it cannot and returns `undefined`. */
export type ReadField<T> = (node: Tree, report: Report) => T | undefined

/** Reads well-formed, non-empty text; `example` is what to write instead of anything else. */
export function readText(node: Tree, example: string, report: Report): string | undefined {
  if (node.kind === 'other' && node.value !== null) {
    report(node, {
      problem: `expected text, got ${nounOf(node)}`,
      fix: `put it in quotes: "${node.source}"`,
    })
    return undefined
  }
  if (node.kind !== 'text' || node.value === '') {
    const got = node.kind === 'text' ? 'empty text' : nounOf(node)
    report(node, { problem: `expected text, got ${got}`, fix: `write ${example}` })
    return undefined
  }
  if (!node.value.isWellFormed()) {
    report(node, { problem: 'holds half of a surrogate pair', fix: `write ${example}` })
    return undefined
  }
  return node.value
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const sourcePrefix = /^[a-z][a-z0-9-]{0,31}$/

/** The name of a secret, `db`, or of one in another source, `vault:db`. */
export function readSecret(node: Tree, report: Report): string | undefined {
  const text = readText(node, 'the name of a secret, such as db', report)
  if (text === undefined) return undefined
  const colon = text.indexOf(':')
  const name = text.slice(colon + 1)
  if (colon >= 0 && !sourcePrefix.test(text.slice(0, colon))) {
    report(node, {
      problem: 'has a source prefix that is not 1 to 32 lower-case letters, digits and dashes',
      fix: 'write NAME, or SOURCE:NAME such as vault:db',
    })
    return undefined
  }
  if (name.includes('/')) {
    report(node, {
      problem: 'must be a name alone: a secret is always in the namespace of its pod',
      fix: `write ${JSON.stringify(name.slice(name.lastIndexOf('/') + 1))}`,
    })
    return undefined
  }
  if (name.length > 253 || !subdomain.test(name)) {
    report(node, {
      problem:
        'is not the name of a secret (lower-case letters, digits, dashes and dots, at most 253)',
      fix: 'write its name as kubectl get secrets shows it',
    })
    return undefined
  }
  return text
}

/** A key of a secret, as Kubernetes allows them. */
export function readKey(node: Tree, report: Report): string | undefined {
  const text = readText(node, 'the name of a key, such as password', report)
  if (text === undefined) return undefined
  if (isKey(text)) return text
  report(node, {
    problem:
      'is not the name of a key (letters, digits, dashes, dots and underscores, at most 253)',
    fix: 'write a key as kubectl describe secret shows it',
  })
  return undefined
}

/** Whether `text` can be a key of a Kubernetes Secret, and so also a file name. */
export function isKey(text: string): boolean {
  return /^[-._a-zA-Z0-9]{1,253}$/.test(text) && text !== '.' && !text.startsWith('..')
}

const containerName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** The names of containers: at least one, each once; in order, so that equal sets print alike. */
export function readContainers(node: Tree, report: Report): readonly string[] | undefined {
  if (node.kind !== 'list' || node.items.length === 0) {
    const got = node.kind === 'list' ? 'an empty list' : nounOf(node)
    report(node, {
      problem: `expected a list of container names, got ${got}`,
      fix: 'write [app], or remove the field for all containers',
    })
    return undefined
  }
  const names: string[] = []
  for (const item of node.items) {
    const name = readText(item, 'the name of a container, such as app', report)
    if (name === undefined) return undefined
    if (!containerName.test(name)) {
      report(item, {
        problem:
          'is not the name of a container (lower-case letters, digits and dashes, at most 63)',
        fix: 'write it as in spec.containers or spec.initContainers',
      })
      return undefined
    }
    if (names.includes(name)) {
      report(item, { problem: `names ${name} twice`, fix: 'name each container once' })
      return undefined
    }
    names.push(name)
  }
  return names.sort()
}

/** One of the few words that `choices` lists. */
export function readChoice<T extends string>(
  node: Tree,
  choices: readonly T[],
  report: Report,
): T | undefined {
  const found = choices.find((choice) => node.kind === 'text' && node.value === choice)
  if (found !== undefined) return found
  const list = orList(choices)
  const got = node.kind === 'text' ? JSON.stringify(shortened(node.value)) : nounOf(node)
  report(node, { problem: `expected ${list}, got ${got}`, fix: `write ${list}` })
  return undefined
}

/** `a, b or c`. */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? ''
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`
}

/** At most 40 characters of `text`, for quoting in a message. */
export function shortened(text: string): string {
  const characters = Array.from(text.toWellFormed())
  return characters.length > 40 ? `${characters.slice(0, 40).join('')}…` : characters.join('')
}

/** A numeric group id. */
export function readGroup(node: Tree, report: Report): number | undefined {
  const value = node.kind === 'other' ? node.value : undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 2 ** 31 - 1) {
    return value
  }
  report(node, {
    problem: `expected a group id from 1 to 2147483647, got ${nounOf(node)}`,
    fix: 'write the number of a group that the sidecar is in, such as 2000',
  })
  return undefined
}
