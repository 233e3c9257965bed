import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'

/** A distribution package whose files are in the image, and where its licence is. */
export interface Copyright {
  readonly name: string
  readonly path: string
}

/** The licences of the Debian packages that `files` come from; none on other distributions. */
export async function copyrightOf(files: readonly string[]): Promise<readonly Copyright[]> {
  const names = new Set<string>()
  for (const file of files) {
    const name = await packageOf(file)
    if (name !== undefined) names.add(name)
  }
  const found: Copyright[] = []
  for (const name of [...names].sort()) {
    const path = `/usr/share/doc/${name}/copyright`
    const there = await access(path).then(
      () => true,
      () => false,
    )
    if (there) found.push({ name, path })
  }
  return found
}

async function packageOf(file: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('dpkg-query', ['--search', file])
    return /^([a-z0-9.+-]+)(?::[a-z0-9]+)?: /.exec(stdout)?.[1]
  } catch {
    return undefined // not Debian, or not from a package
  }
}
