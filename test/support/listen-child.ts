import { isLatchkeyError } from '../../src/base/errors.ts'
import { listenUnix } from '../../src/net/unix-listener.ts'
import { listenOptions } from './listening.ts'

// Listens on the path it is given, greets with its name, and stops when told to.
const [path = '', name = ''] = process.argv.slice(2)
try {
  const listener = await listenUnix(path, listenOptions({ greeting: name }))
  process.send?.('listening')
  process.once('message', () => {
    void listener.stop().then(() => {
      process.disconnect()
    })
  })
} catch (error) {
  process.send?.(isLatchkeyError(error) ? error.code : String(error))
  process.disconnect()
}
