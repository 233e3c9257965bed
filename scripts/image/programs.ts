import { execFile } from 'node:child_process'
import { copyFile, glob, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { paths } from './settings.ts'

/** Builds the release where the image has it, below `root`. */
export async function makePrograms(
  root: string,
  options: { readonly project: string },
): Promise<void> {
  const { project } = options
  const out = join(root, paths.release)
  await mkdir(root, { recursive: true })
  const build = [join(project, 'scripts', 'build.ts'), '--out', out, '--no-compile-cache']
  await promisify(execFile)(process.execPath, build, { cwd: project })
  // The image has no env(1).
  for await (const launcher of glob('*', { cwd: join(out, 'bin') })) {
    const path = join(out, 'bin', launcher)
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(/^#!.*/, `#!${paths.node}`))
  }
  await copyFile(await nodeLicense(project), join(out, 'NODE_LICENSE'))
}

async function nodeLicense(project: string): Promise<string> {
  const found = glob('node_modules/node/node_modules/node-*/LICENSE', { cwd: project })
  for await (const path of found) return join(project, path)
  throw new Error('the npm package "node" has no LICENSE: run "npm ci" first')
}
