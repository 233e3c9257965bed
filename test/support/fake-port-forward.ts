import { connect } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import type { HostPort } from '../../src/base/address.ts'
import type { FakeKubernetes } from './fake-kubernetes.ts'

/** What a node does with a port that is to be forwarded, when it has said which. */
export type Forward = (
  socket: WebSocket,
  target: { readonly pod: string; readonly port: number },
) => void

/** Both channels begin with the port. */
export function sayPort(socket: WebSocket, port: number): void {
  const bytes = [port & 0xff, port >> 8]
  socket.send(Buffer.from([0, ...bytes]))
  socket.send(Buffer.from([1, ...bytes]))
}

/** Lets the API server pass port-forwards on to a node that does what `forward` does. */
export function servePortForwards(
  kubernetes: FakeKubernetes,
  forward: Forward,
  protocol = 'v4.channel.k8s.io',
): void {
  const server = new WebSocketServer({ noServer: true, handleProtocols: () => protocol })
  kubernetes.upgrade = (request, socket, head) => {
    // As a kubelet does, whose route makes nothing in particular.
    if (request.headers.accept !== '*/*') {
      socket.end('HTTP/1.1 406 Not Acceptable\r\ncontent-length: 0\r\n\r\n')
      return
    }
    const { pathname, searchParams } = new URL(request.url ?? '', kubernetes.url)
    const pod = /\/pods\/([^/]+)\/portforward$/.exec(pathname)?.[1] ?? ''
    server.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on('error', () => undefined)
      forward(webSocket, { pod, port: Number(searchParams.get('ports')) })
    })
  }
}

/** Forwards as the kubelet does, to where `find` says that the port of a pod is. */
export function forwardTo(
  find: (target: { readonly pod: string; readonly port: number }) => HostPort,
): Forward {
  return (socket, target) => {
    sayPort(socket, target.port)
    const peer = connect(find(target))
    socket.on('message', (data: Buffer) => {
      if (data[0] === 0) peer.write(data.subarray(1))
    })
    peer.on('data', (data) => {
      socket.send(Buffer.concat([Buffer.from([0]), data]))
    })
    peer.on('error', (error) => {
      const what = `error forwarding port ${target.port} to pod abc, uid : ${error.message}`
      socket.send(Buffer.from(`\u0001${what}`))
    })
    peer.on('close', () => {
      socket.close()
    })
    socket.on('close', () => peer.destroy())
  }
}
