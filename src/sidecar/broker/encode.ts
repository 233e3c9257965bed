import { WireMessage } from '../../base/protobuf.ts'
import { outcomes, protocolVersion } from './messages.ts'
import type { OpenMessage, SidecarMessage } from './messages.ts'

/** A `DeliverRequest` in protobuf's encoding. With a token in it, the caller wipes it after use. */
export function encodeMessage(message: SidecarMessage): Uint8Array {
  const request = new WireMessage()
  switch (message.kind) {
    case 'open':
      return request.item(1, openOf(message)).encode()
    case 'token-refresh':
      return request.item(2, new WireMessage().bytes(1, message.token.expose())).encode()
    case 'acknowledgement': {
      const acknowledgement = new WireMessage()
        .varint(1, message.sequence)
        .text(2, message.version)
        .varint(3, outcomes[message.outcome])
        .text(4, message.secret)
      return request.item(3, acknowledgement).encode()
    }
  }
}

function openOf(message: OpenMessage): WireMessage {
  const open = new WireMessage().varint(1, protocolVersion).bytes(2, message.token.expose())
  for (const { secret, keys } of message.references) {
    const reference = new WireMessage().text(1, secret)
    for (const key of keys) reference.item(2, key)
    open.item(3, reference)
  }
  return open.bytes(4, message.instance).text(5, message.planDigest).text(6, message.client)
}
