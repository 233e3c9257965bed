import { readFile, writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import { injectPod } from '../../../src/webhook/inject/inject.ts'
import { diffJson } from '../../../src/webhook/inject/json-patch.ts'
import { contextOf, injectionVectors, vectorFile } from '../../support/injection.ts'

// node test/webhook/inject/write-vectors.ts: writes patch and warnings of every vector anew. What
// changed is for the person who reviews the difference; the tests only hold what is written.

for (const vector of await injectionVectors()) {
  const result = injectPod(vector.pod, contextOf(vector))
  if (result.kind !== 'injected') throw new Error(`${vector.name} is ${result.kind}`)
  const file = vectorFile(vector.name)
  const text = await readFile(file, 'utf8')
  const end = text.search(/^(?:patch|warnings):/m)
  const outcome = { patch: diffJson(vector.pod, result.pod), warnings: result.warnings }
  const written = stringify(outcome, { lineWidth: 0 })
  await writeFile(file, `${end < 0 ? text : text.slice(0, end)}${written}`)
}
