import test from 'ava'
import { glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

// Each room, and the rooms it may import from besides itself. Read top to bottom it is the
// architecture; adding a line here is an architectural decision and is reviewed as one.
const rooms: Record<string, readonly string[]> = {
  // ground: knows nothing of the product
  'src/base': [],
  'src/observe': ['src/base'],
  'src/net': ['src/base', 'src/observe'],
  'src/clients': ['src/base', 'src/net'],
  // domain: rules and ports, no I/O
  'src/keyring': ['src/base'],
  'src/secrets': ['src/base'],
  'src/injection': ['src/base'],
  'src/storage': ['src/base'],
  // adapters: one file per outside system, each filling one port
  'src/keyring/stores': ['src/base', 'src/clients', 'src/keyring'],
  'src/keyring/roots': ['src/base', 'src/clients', 'src/keyring'],
  'src/secrets/sources': ['src/base', 'src/clients', 'src/secrets'],
  // services: one per process; none imports another, none imports an adapter
  'src/kms': ['src/base', 'src/observe', 'src/net', 'src/clients', 'src/keyring'],
  'src/broker': ['src/base', 'src/observe', 'src/net', 'src/clients', 'src/secrets'],
  'src/webhook': ['src/base', 'src/observe', 'src/net', 'src/clients', 'src/injection'],
  // The sidecar runs in other people's pods: it cannot reach a keyring, a source or a cluster client.
  'src/sidecar': ['src/base', 'src/observe', 'src/net', 'src/injection'],
  'src/admin': [
    'src/base',
    'src/observe',
    'src/net',
    'src/clients',
    'src/keyring',
    'src/secrets',
    'src/injection',
    'src/storage',
  ],
}

/** The deepest declared room that holds `file`. */
const roomOf = (file: string): string | undefined =>
  Object.keys(rooms)
    .filter((room) => file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0]

const imports = /\b(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g

test('every import in src points down the layers', async (t) => {
  let files = 0
  for await (const file of glob('src/**/*.ts')) {
    files += 1
    const room = roomOf(file)
    if (room === undefined) {
      t.fail(`${file} is in no declared room`)
      continue
    }
    const source = await readFile(file, 'utf8')
    for (const [, specifier = ''] of source.matchAll(imports)) {
      const target = roomOf(join(dirname(file), specifier))
      t.true(
        target === room || (target !== undefined && rooms[room]?.includes(target)),
        `${file} (${room}) must not import ${specifier} (${target ?? 'outside src'})`,
      )
    }
  }
  t.true(files > 0, 'no source files found')
})

test('cmd and scripts reach adapters only through open.ts', async (t) => {
  t.plan(1)
  const strays: string[] = []
  for await (const file of glob('{cmd,scripts}/**/*.ts')) {
    const source = await readFile(file, 'utf8')
    for (const [, specifier = ''] of source.matchAll(imports)) {
      const target = join(dirname(file), specifier)
      if (!/^src\/(keyring\/(stores|roots)|secrets\/sources)\//.test(target)) continue
      if (!target.endsWith('/open.ts')) strays.push(`${file} imports ${target}`)
    }
  }
  t.deepEqual(strays, [])
})

/** Imports that a program evaluates, which those of types alone are not. */
const evaluated = /^(?:import|export)\s+(?!type\b)([^;]*?)\bfrom\s+'(\.{1,2}\/[^']+)'/gm

// In a release a command is evaluated late, and modules that wait for each other never begin.
test('no module waits for itself', async (t) => {
  const graph = new Map<string, readonly string[]>()
  for await (const file of glob('{src,cmd}/**/*.ts')) {
    const source = await readFile(file, 'utf8')
    const found = [...source.matchAll(evaluated)]
      .filter(([, names = '']) => !/^\{(?:\s*type\s+[^,}]+,?)+\s*\}\s*$/.test(names))
      .map(([, , specifier = '']) => join(dirname(file), specifier))
    graph.set(file, found)
  }
  const [path, done, cycles]: [string[], Set<string>, string[]] = [[], new Set(), []]
  const visit = (file: string): void => {
    if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (path.includes(file) || done.has(file)) return
    path.push(file)
    for (const next of graph.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  t.deepEqual(cycles, [])
  t.true([...graph.values()].flat().length > graph.size)
})
