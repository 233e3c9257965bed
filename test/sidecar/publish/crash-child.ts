// Publishes an update and kills itself before the system call whose number it is given.
import { filesOf, intercepted, publisherAt } from '../../support/publishing.ts'

const [, , root = '', at = '0'] = process.argv
let calls = 0
const operations = intercepted((call) => {
  calls += 1
  if (calls === Number(at)) process.kill(process.pid, 'SIGKILL')
  return call()
}, {})
publisherAt(root, { operations }).publish(filesOf({ a: '3', b: '4' }))
