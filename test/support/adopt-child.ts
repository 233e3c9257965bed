import { isLatchkeyError } from '../../src/base/errors.ts'
import { adoptSocket, onlyPassedSocket, passedSockets } from '../../src/net/systemd-socket.ts'
import { ourIdentity } from './listening.ts'

// Serves on the socket it was passed, greets with its name, and stops when told to.
const [greeting = '', expectedPath] = process.argv.slice(2)
try {
  const passed = onlyPassedSocket(passedSockets(process.env, process.pid))
  if (passed === undefined) throw new Error('nothing was passed')
  const listener = await adoptSocket(passed, {
    onConnection: (socket) => socket.end(greeting),
    onError: (error) => {
      throw error
    },
    identity: ourIdentity,
    ...(expectedPath === undefined ? {} : { expectedPath }),
  })
  process.send?.(`listening on ${listener.path}`)
  process.once('message', () => {
    void listener.stop().then(() => {
      process.disconnect()
    })
  })
} catch (error) {
  process.send?.(isLatchkeyError(error) ? error.code : String(error))
  process.disconnect()
}
