import test from 'ava'
import { createServer } from 'node:net'
import { listenTcp } from '../../src/net/listen-tcp.ts'

const loopback = { host: '127.0.0.1', port: 0 }

test('a server listens where it was told to, or says why it cannot', async (t) => {
  const [first, second] = [createServer(), createServer()]
  t.teardown(() => first.close())
  const address = await listenTcp(first, loopback, { hint: 'choose another' })
  t.true(address.port > 0)
  t.is(address.host, '127.0.0.1')
  await t.throwsAsync(listenTcp(second, address, { hint: 'choose another' }), {
    code: 'ERR_IO',
    message: `cannot listen on 127.0.0.1:${address.port}: EADDRINUSE`,
  })
})

test('connections that cannot be accepted do not end the process', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  await listenTcp(server, loopback, { hint: '' })
  for (let time = 0; time < 3; time += 1) {
    t.true(server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' })))
  }
})
