import test from 'ava'
import { execFile } from 'node:child_process'
import { access, glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import manifest from '../package.json' with { type: 'json' }
import { anchors, fencedBlocks, links } from './support/markdown.ts'

const project = join(import.meta.dirname, '..')
const ours = ['*.md', 'deploy/**/*.md', 'src/**/*.md']
const documents = new Map<string, string>()

test.before(async () => {
  for await (const path of glob(ours, { cwd: project })) {
    documents.set(path, await readFile(join(project, path), 'utf8'))
  }
})

test('the documents that a newcomer looks for are there', (t) => {
  for (const name of [
    'README.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'deploy/README.md',
  ]) {
    t.true(documents.has(name), name)
  }
})

test('every link inside the project leads somewhere', async (t) => {
  for (const [path, text] of documents) {
    for (const link of links(text)) {
      if (/^[a-z]+:/.test(link)) continue
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      await t.notThrowsAsync(access(join(project, target)), `${path} links to ${link}`)
      if (anchor === undefined) continue
      const targetText = documents.get(target) ?? ''
      t.true(anchors(targetText).includes(anchor), `${path} links to ${link}`)
    }
  }
})

test('every shell block is one that a shell can read', async (t) => {
  let blocks = 0
  for (const [path, text] of documents) {
    for (const { language, line, text: script } of fencedBlocks(text)) {
      if (language !== 'sh') continue
      blocks += 1
      const run = promisify(execFile)('bash', ['-n', '-c', script])
      await t.notThrowsAsync(run, `${path}:${line}`)
    }
  }
  t.true(blocks > 20)
})

test('every YAML and JSON block can be read', (t) => {
  for (const [path, text] of documents) {
    for (const { language, line, text: content } of fencedBlocks(text)) {
      if (language === 'json') t.notThrows(() => JSON.parse(content) as unknown, `${path}:${line}`)
      if (language !== 'yaml') continue
      for (const document of parseAllDocuments(content)) {
        t.deepEqual('errors' in document ? document.errors : [], [], `${path}:${line}`)
      }
    }
  }
})

test('the guide says of every shell block where it is run', (t) => {
  const places = ['machine', 'pod-machine', 'cluster', 'kubeadm']
  for (const { language, words, text, line } of fencedBlocks(
    documents.get('deploy/README.md') ?? '',
  )) {
    if (language !== 'sh') continue
    const [place] = words
    const yours = text.startsWith('# yours\n')
    t.true(yours !== (place !== undefined && places.includes(place)), `line ${line}`)
  }
})

test('the changelog has the release that package.json names', (t) => {
  const headings = documents.get('CHANGELOG.md')?.match(/^## .*$/gm) ?? []
  t.is(headings[0], '## Unreleased')
  t.is(headings[1], `## ${manifest.version}`)
  const groups = ['Security', 'Changed', 'Added', 'Fixed'].map((name) => `### ${name}`)
  for (const heading of documents.get('CHANGELOG.md')?.match(/^### .*$/gm) ?? []) {
    t.true(groups.includes(heading), heading)
  }
})

test('every npm script that a document tells to run exists', (t) => {
  for (const [path, text] of documents) {
    for (const [, name = ''] of text.matchAll(/\bnpm run ([a-z][a-z0-9:-]*)/g)) {
      t.true(name in manifest.scripts, `${path}: npm run ${name}`)
    }
  }
})
