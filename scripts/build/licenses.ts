import type { Metafile } from 'esbuild'
import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const packageOf = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/

/** The licences of every package of which anything is in the bundles, and of the upstream protos. */
export async function collectLicenses(metafile: Metafile, project: string): Promise<string> {
  const folders = new Set(
    Object.keys(metafile.inputs).flatMap((path) => packageOf.exec(path) ?? []),
  )
  const entries = await Promise.all([...folders].sort().map((it) => licenseOf(join(project, it))))
  return [preamble, ...entries].join('\n\n')
}

const preamble = `Latchkey contains the following software, under the licences given with each.

The files in proto/kms are the interfaces of Kubernetes, https://github.com/kubernetes/kms,
Copyright The Kubernetes Authors, under the Apache License 2.0, whose text is in LICENSE.`

async function licenseOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(
    await readFile(join(folder, 'package.json'), 'utf8'),
  ) as { name: string; version: string; license?: string }
  const texts: string[] = []
  for await (const file of glob('{LICEN[CS]E,licen[cs]e,COPYING,NOTICE}{,.md,.txt}', {
    cwd: folder,
  })) {
    texts.push((await readFile(join(folder, file), 'utf8')).trim())
  }
  if (texts.length === 0) {
    if (license === undefined) throw new Error(`${name} says nothing about its licence`)
    texts.push(`The package carries no licence text; it declares: ${license}`)
  }
  return [`${'-'.repeat(72)}\n${name} ${version} (${license ?? 'see below'})`, ...texts].join(
    '\n\n',
  )
}
