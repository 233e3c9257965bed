import { outcomes, protocolVersion } from './messages.ts'
import type { OpenMessage, SidecarMessage } from './messages.ts'
import { WireWriter } from './wire.ts'

/** A `DeliverRequest` in protobuf's encoding. With a token in it, the caller wipes it after use. */
export function encodeMessage(message: SidecarMessage): Uint8Array {
  const request = new WireWriter()
  switch (message.kind) {
    case 'open':
      return wrap(request, 1, encodeOpen(message))
    case 'token-refresh':
      return wrap(request, 2, new WireWriter().bytes(1, message.token.expose()).take())
    case 'acknowledgement':
      return wrap(
        request,
        3,
        new WireWriter()
          .varint(1, message.sequence)
          .text(2, message.version)
          .varint(3, outcomes[message.outcome])
          .text(4, message.secret)
          .take(),
      )
  }
}

function encodeOpen(message: OpenMessage): Uint8Array {
  const open = new WireWriter().varint(1, protocolVersion).bytes(2, message.token.expose())
  for (const { secret, keys } of message.references) {
    const reference = new WireWriter().text(1, secret)
    for (const key of keys) reference.message(2, Buffer.from(key, 'utf8'))
    open.message(3, reference.take())
  }
  return open.bytes(4, message.instance).text(5, message.planDigest).text(6, message.client).take()
}

/** Puts the member of the oneof into the request, and wipes the copy that it was made from. */
function wrap(request: WireWriter, field: number, member: Uint8Array): Uint8Array {
  const encoded = request.message(field, member).take()
  member.fill(0)
  return encoded
}
