import { readText } from './fields.ts'
import type { Report } from './fields.ts'
import type { Finding } from './problem.ts'
import type { Tree } from './tree.ts'

/** A path as written: `/etc/app/tls/` is the directory `/etc/app/tls`. */
export interface WrittenPath {
  /** Absolute and in its shortest form, without a trailing slash. */
  readonly path: string
  /** Whether it was written with a trailing slash. */
  readonly directory: boolean
}

/** Trees in which nothing may be placed, and why. */
const forbiddenTrees = [
  { trees: ['/proc', '/sys', '/dev'], what: 'belongs to the kernel' },
  {
    trees: ['/var/run/secrets', '/run/secrets'],
    what: 'belongs to service account tokens',
  },
  { trees: ['/run/latchkey', '/var/run/latchkey'], what: 'belongs to the sidecar itself' },
] as const

/** Directories that every image fills: a volume there would hide what the program needs to run. */
const imageDirectories = new Set(
  [
    ['/', '/bin', '/boot', '/etc', '/home', '/lib', '/lib32', '/lib64', '/libx32', '/opt', '/root'],
    ['/run', '/sbin', '/tmp', '/usr', '/usr/bin', '/usr/lib', '/usr/lib64', '/usr/libexec'],
    ['/usr/local', '/usr/local/bin', '/usr/local/lib', '/usr/sbin', '/usr/share', '/var'],
    ['/var/lib', '/var/log', '/var/run', '/etc/ssl', '/etc/ssl/certs'],
  ].flat(),
)

/** Whether a volume mounted at `directory` would hide what nearly every image has there. */
export function hidesImage(directory: string): boolean {
  return imageDirectories.has(directory)
}

/** The directory that holds `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

/** The last component of `path`. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Whether `path` is `directory` or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`)
}

/** Reads an absolute path that a container can have and that is safe to write to. */
export function readPath(node: Tree, report: Report): WrittenPath | undefined {
  const text = readText(node, 'an absolute path, such as /etc/app/db/password', report)
  if (text === undefined) return undefined
  const finding = refusePath(text)
  if (finding === undefined) {
    const directory = text.endsWith('/')
    return { path: directory ? text.slice(0, -1) : text, directory }
  }
  report(node, finding)
  return undefined
}

function refusePath(text: string): Finding | undefined {
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) {
    return { problem: 'holds a control character', fix: 'write a path of printable characters' }
  }
  if (!text.startsWith('/')) {
    return { problem: 'is not absolute', fix: `start it with a slash: ${suggest(`/${text}`)}` }
  }
  if (text.split('/').includes('..')) {
    return { problem: 'must not hold ".."', fix: 'write the path that is meant' }
  }
  const shortest = normalised(text)
  if (shortest === '/') {
    return { problem: 'must not be the root directory', fix: 'write a directory of its own' }
  }
  if (shortest !== text) {
    return { problem: 'is not in its shortest form', fix: `write ${suggest(shortest)}` }
  }
  if (text.includes(':')) {
    return {
      problem: 'holds a colon, which Kubernetes refuses in mount paths',
      fix: 'choose another name',
    }
  }
  if (Buffer.byteLength(text) > 4000) {
    return { problem: 'is longer than 4000 bytes', fix: 'choose a shorter path' }
  }
  const components = text.split('/')
  if (components.some((component) => Buffer.byteLength(component) > 253)) {
    return { problem: 'has a name longer than 253 bytes', fix: 'choose a shorter name' }
  }
  if (components.some((component) => component.startsWith('..'))) {
    return {
      problem: 'has a name that starts with "..", which is reserved for publication',
      fix: 'choose another name',
    }
  }
  return refuseTree(text)
}

function refuseTree(text: string): Finding | undefined {
  const path = text.endsWith('/') ? text.slice(0, -1) : text
  for (const { trees, what } of forbiddenTrees) {
    const tree = trees.find((each) => isWithin(path, each))
    if (tree !== undefined) {
      return {
        problem: `is in ${tree}, which ${what}`,
        fix: 'choose a directory of your own, such as /etc/app/secrets',
      }
    }
  }
  return undefined
}

function normalised(text: string): string {
  const components = text.split('/').filter((component) => component !== '' && component !== '.')
  if (components.length === 0) return '/'
  return `/${components.join('/')}${/\/\.?$/.test(text) ? '/' : ''}`
}

/** A path to show in a fix, unless it is too long to help. */
function suggest(path: string): string {
  return path.length > 100 ? 'it so' : normalised(path)
}
