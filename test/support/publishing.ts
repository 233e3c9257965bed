import type { ExecutionContext } from 'ava'
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { utf8 } from '../../src/base/bytes.ts'
import { SecretBytes } from '../../src/base/secret.ts'
import { DirectoryPublisher } from '../../src/sidecar/publish/directory-publisher.ts'
import { systemFileOperations } from '../../src/sidecar/publish/file-operations.ts'
import type { FileOperations } from '../../src/sidecar/publish/file-operations.ts'
import type { SetFile } from '../../src/sidecar/publish/generation.ts'

/** A directory that goes with the test. */
export function temporaryDirectory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'latchkey-publish-'))
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

/** Files of entry 0, mode 0400, from texts. */
export function filesOf(
  texts: Readonly<Record<string, string>>,
  access: { readonly mode?: number; readonly group?: number; readonly entry?: number } = {},
): SetFile[] {
  return Object.entries(texts).map(([name, text]) => ({
    name,
    bytes: SecretBytes.take(utf8(text)),
    mode: access.mode ?? 0o400,
    group: access.group,
    entry: access.entry ?? 0,
  }))
}

/** A publisher of `/etc/app/db` below `root`. */
export function publisherAt(
  root: string,
  options: { readonly operations?: FileOperations; readonly plan?: string } = {},
): DirectoryPublisher {
  return new DirectoryPublisher({
    root,
    path: '/etc/app/db',
    plan: options.plan ?? 'plan-1',
    operations: options.operations ?? systemFileOperations,
  })
}

/** What a consumer sees in a directory: names to texts, without what starts with two dots. */
export function seen(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter((name) => !name.startsWith('..'))
  return Object.fromEntries(
    names.sort().map((name) => [name, readFileSync(join(directory, name), 'utf8')]),
  )
}

/** What a careful consumer sees: through `..data`, resolved once. */
export function seenThroughLink(directory: string): Record<string, string> | undefined {
  let generation
  try {
    generation = readlinkSync(join(directory, '..data'))
  } catch {
    return undefined
  }
  return seen(join(directory, generation))
}

/** The names of generations in a directory. */
export function generationsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith('..gen-'))
    .sort()
}

/** Thrown by operations of a process that is no more. */
export class Killed extends Error {}

/**
 * Operations of a process that is killed before its call number `at`, counted from 1: neither that
 * call nor any later one, such as those of a cleanup, reaches the disk.
 */
export function killedAt(at: number): FileOperations & { readonly count: () => number } {
  let calls = 0
  return intercepted(
    (call) => {
      calls += 1
      if (calls >= at) throw new Killed()
      return call()
    },
    { count: () => calls },
  )
}

/** Operations whose every call of `method` fails with a system error while `when` says so. */
export function failing(
  method: keyof FileOperations,
  code: string,
  when: (call: number) => boolean = () => true,
): FileOperations {
  let calls = 0
  return intercepted((call, name) => {
    if (name === method) {
      calls += 1
      if (when(calls)) throw Object.assign(new Error(code), { code })
    }
    return call()
  }, {})
}

/** The machine's operations with `around` about every call; descriptors are always closed. */
export function intercepted<Extra extends object>(
  around: (call: () => unknown, name: keyof FileOperations, args: readonly unknown[]) => unknown,
  extra: Extra,
): FileOperations & Extra {
  return new Proxy(
    { ...systemFileOperations, ...extra },
    {
      get: (target, property) => {
        const name = property as keyof FileOperations
        if (!(name in systemFileOperations)) return Reflect.get(target, property) as unknown
        const method = target[name].bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => {
          const call = (): unknown => method(...args)
          if (name !== 'close') return around(call, name, args)
          call()
          return around(() => undefined, name, args)
        }
      },
    },
  )
}
