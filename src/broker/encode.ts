import { WireMessage } from '../base/protobuf.ts'
import type { SecretEntry } from '../secrets/content.ts'
import {
  goodbyeReasons,
  outcomes,
  protocolVersion,
  statuses,
  unavailableReasons,
  type AcceptedMessage,
  type GoodbyeMessage,
  type HeartbeatMessage,
  type PodStatus,
  type ReplicaStatus,
  type Status,
  type UnavailableReason,
} from './messages.ts'

// Each function makes a whole DeliverResponse or DeliveryStatusResponse of broker.proto.

/** An item of a set, with its values while they are there to be encoded. */
export interface EncodableItem {
  readonly secret: string
  readonly status: Status
  readonly version: string
  readonly entries: readonly SecretEntry[]
  readonly reason: UnavailableReason
}

export function encodeAccepted({ heartbeatIntervalMs, replica }: AcceptedMessage): Buffer {
  const accepted = new WireMessage()
    .varint(1, protocolVersion)
    .varint(2, heartbeatIntervalMs)
    .text(3, replica)
  return new WireMessage().item(1, accepted).encode()
}

export function encodeCaBundle(pem: Uint8Array): Buffer {
  return new WireMessage().item(2, new WireMessage().bytes(1, pem)).encode()
}

/** The one copy of the values that is made; its owner wipes it. */
export function encodeSecretSet(set: {
  readonly sequence: number
  readonly version: string
  readonly items: readonly EncodableItem[]
}): Buffer {
  const message = new WireMessage().varint(1, set.sequence).text(2, set.version)
  for (const { secret, status, version, entries, reason } of set.items) {
    const item = new WireMessage()
      .text(1, secret)
      .varint(2, statuses.indexOf(status))
      .text(3, version)
    for (const { key, value } of entries) {
      item.item(4, new WireMessage().text(1, key).bytes(2, value.expose()))
    }
    message.item(3, item.varint(5, unavailableReasons.indexOf(reason)))
  }
  return new WireMessage().item(3, message).encode()
}

export function encodeHeartbeat({ staleMs, sequence }: HeartbeatMessage): Buffer {
  const heartbeat = new WireMessage().varint(1, wholeNumber(staleMs)).varint(2, sequence)
  return new WireMessage().item(4, heartbeat).encode()
}

export function encodeGoodbye(goodbye: GoodbyeMessage): Buffer {
  const message = new WireMessage()
    .varint(1, goodbyeReasons.indexOf(goodbye.reason))
    .varint(2, goodbye.reconnectMinMs)
    .varint(3, goodbye.reconnectMaxMs)
  return new WireMessage().item(5, message).encode()
}

export function encodeReplicaStatus({ replica, version }: ReplicaStatus): Buffer {
  return new WireMessage().item(1, new WireMessage().text(1, replica).text(2, version)).encode()
}

export function encodePodStatus(status: PodStatus): Buffer {
  const message = new WireMessage()
    .text(1, status.podUid)
    .text(2, status.podName)
    .text(3, status.serviceAccount)
    .text(4, status.nodeName)
    .varint(5, statuses.indexOf(status.status))
    .varint(6, unavailableReasons.indexOf(status.unavailableReason))
    .text(7, status.version)
    .varint(8, status.current ? 1 : 0)
    .varint(9, outcomes.indexOf(status.outcome))
    .varint(10, wholeNumber(status.acknowledgedMsAgo))
    .varint(11, wholeNumber(status.staleMs))
  return new WireMessage().item(2, message).encode()
}

/** Ages are fractions of milliseconds here, and endless before the first answer. */
function wholeNumber(value: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.ceil(value)))
}
