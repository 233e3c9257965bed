import { execFile, spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { access, constants, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Tool } from './tools.ts'

const modules = join(import.meta.dirname, '..', 'tools')
const flags = ['-trimpath', '-buildvcs=false']

/**
 * Path of the tool's executable, built when it is not in the cache yet.
 *
 * @remarks
 * The cache entry's name holds a digest of the module's files and the flags, so that a new pin is a new
 * entry. A build goes to a directory of its own which is then renamed: an entry is whole or absent,
 * and of two runs that build at once the later one takes what the earlier one left.
 */
export async function buildWithGo(tool: Tool): Promise<string> {
  const source = join(modules, tool.module)
  const entry = join(cacheDirectory(), `${tool.executable}-${await digest(tool, source)}`)
  const executable = join(entry, tool.executable)
  if (await isExecutable(executable)) return executable

  const version = await goVersion(source)
  if (version === undefined) throw new Error(`${tool.title} is not built yet. ${remedy(tool)}`)
  if (!atLeast(version, tool.go)) {
    throw new Error(`${tool.title} needs Go ${tool.go}, found ${version}. ${remedy(tool)}`)
  }
  const building = join(cacheDirectory(), `.building-${randomUUID()}`)
  await mkdir(building, { recursive: true })
  try {
    console.error(`building ${tool.title} with Go ${version}: ${tool.firstBuild} the first time`)
    const started = performance.now()
    const output = join(building, tool.executable)
    const args = ['build', ...flags, ...tags(tool), '-ldflags', tool.ldflags, '-o', output]
    await go([...args, tool.package], { cwd: source, cgo: tool.cgo })
    await rename(building, entry).catch(async (error: unknown) => {
      if (!(await isExecutable(executable))) throw error
    })
    const seconds = Math.round((performance.now() - started) / 1000)
    console.error(`built ${tool.title} in ${seconds} s, kept in ${entry}`)
  } finally {
    await rm(building, { recursive: true, force: true })
  }
  return executable
}

/** Where built tools are kept: outside the checkout, so that they survive a fresh clone. */
export function cacheDirectory(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? ''
  return join(base === '' ? join(homedir(), '.cache') : base, 'latchkey', 'tools')
}

async function digest(tool: Tool, source: string): Promise<string> {
  const hash = createHash('sha256')
  const files = (await readdir(source)).filter((name) => /^go\.(mod|sum)$|\.go$/.test(name))
  for (const file of files.sort()) hash.update(await readFile(join(source, file)))
  const linked = tool.cgo === false ? ['static'] : []
  hash.update(JSON.stringify([flags, tool.ldflags, tool.package, ...tags(tool), ...linked]))
  return hash.digest('hex').slice(0, 16)
}

function tags(tool: Tool): readonly string[] {
  return tool.tags === undefined ? [] : ['-tags', tool.tags]
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** Version of the Go that would build the module, as `1.26.8`; `undefined` when there is no Go. */
async function goVersion(source: string): Promise<string | undefined> {
  // Asked inside the module first: with GOTOOLCHAIN=auto an older Go answers as the one it fetches.
  // Where it may not fetch, it refuses the module; asked elsewhere it tells its own version.
  for (const cwd of [source, import.meta.dirname]) {
    try {
      const { stdout } = await promisify(execFile)('go', ['env', 'GOVERSION'], { cwd })
      return /^go(\d+\.\d+(?:\.\d+)?)/.exec(stdout.trim())?.[1]
    } catch {
      continue
    }
  }
  return undefined
}

function atLeast(version: string, wanted: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function remedy(tool: Tool): string {
  const assets = tool.fromAssets
    ? `, or set KUBEBUILDER_ASSETS to a directory that holds ${tool.executable}`
    : ''
  return `Install Go ${tool.go} or newer and have it on PATH${assets}.`
}

async function go(
  args: readonly string[],
  { cwd, cgo }: { readonly cwd: string; readonly cgo: false | undefined },
): Promise<void> {
  // Both streams of the compiler are diagnostics; ours to stdout are test results.
  const child = spawn('go', args, {
    cwd,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, GOWORK: 'off', ...(cgo === false && { CGO_ENABLED: '0' }) },
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`go build ended with ${signal ?? `code ${code ?? '?'}`}: see above`))
    })
  })
}
