import { chmod, copyFile, glob, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { copyrightOf } from './copyright.ts'
import { sharedLibraries } from './shared-libraries.ts'
import { paths } from './settings.ts'

// As the Dockerfile's base image has it: a user of its own, without a shell or a password.
const files: Readonly<Record<string, string>> = {
  '/etc/passwd':
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n',
  '/etc/group': 'root:x:0:\nnonroot:x:65532:\n',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/**
 * Makes the root file system below `root`: Node.js from the npm package `node`, the libraries that
 * it and native modules of `programs` link to, the user, and `/tmp`.
 *
 * @remarks
 * No certificates: our programs trust only authorities that they are given, or Node.js's own.
 */
export async function makeBase(
  root: string,
  options: { readonly project: string; readonly programs: string },
): Promise<void> {
  const node = join(options.project, 'node_modules', 'node', 'bin', 'node')
  await place(node, join(root, paths.node))
  const linked = [node]
  for await (const path of glob('**/*.node', { cwd: options.programs })) {
    linked.push(join(options.programs, path))
  }
  const libraries = await sharedLibraries(linked)
  for (const path of libraries) await place(path, join(root, path))
  for (const { name, path } of await copyrightOf(libraries)) {
    await place(path, join(root, 'usr', 'share', 'doc', name, 'copyright'))
  }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  await mkdir(join(root, 'tmp'))
  await chmod(join(root, 'tmp'), 0o1777)
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to)
}
