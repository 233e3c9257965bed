/** A fresh process that looks at what others, killed, have left; prints what is wrong as JSON. */
import { readFile } from 'node:fs/promises'
import { verify, type Interrupted } from './verify.ts'

const left = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as readonly Interrupted[]
const wrong: string[] = []
for (const interrupted of left) {
  const problem = await verify(interrupted)
  if (problem !== undefined) wrong.push(`${interrupted.cwd}: ${problem}`)
}
console.log(JSON.stringify(wrong))
