import { Extension } from '@peculiar/x509'
import { isIP, isIPv4 } from 'node:net'
import { concat, utf8 } from '../../base/bytes.ts'

const sequence = 0x30
/** GeneralName dNSName [2] and iPAddress [7], implicitly tagged. */
const [dnsName, ipAddress] = [0x82, 0x87]
const [permitted, excluded] = [0xa0, 0xa1]

/**
 * The critical extension that lets an authority vouch for `names` alone, DNS names or addresses
 * (RFC 5280, section 4.2.1.10). A kind of which none is named is excluded as a whole.
 */
export function nameConstraints(names: readonly string[]): Extension {
  const hosts = names.filter((name) => isIP(name) === 0)
  const addresses = names.filter((name) => isIP(name) !== 0)
  const allowed = [
    ...hosts.map((name) => der(dnsName, utf8(name))),
    ...addresses.map((name) => der(ipAddress, onlyAddress(name))),
  ]
  const forbidden = [
    ...(hosts.length === 0 ? [der(dnsName, new Uint8Array())] : []),
    ...(addresses.length === 0
      ? [der(ipAddress, new Uint8Array(8)), der(ipAddress, new Uint8Array(32))]
      : []),
  ]
  const list = (tag: number, subtrees: readonly Uint8Array[]): readonly Uint8Array[] =>
    subtrees.length === 0 ? [] : [der(tag, ...subtrees.map((name) => der(sequence, name)))]
  return new Extension(
    '2.5.29.30',
    true,
    Uint8Array.from(der(sequence, ...list(permitted, allowed), ...list(excluded, forbidden))),
  )
}

/** An address and the mask of all ones, which leaves that address only. */
function onlyAddress(text: string): Uint8Array {
  const bytes = isIPv4(text) ? Uint8Array.from(text.split('.').map(Number)) : ipv6Bytes(text)
  return concat([bytes, new Uint8Array(bytes.byteLength).fill(0xff)])
}

function ipv6Bytes(text: string): Uint8Array {
  // The URL parser knows the one canonical spelling, which has no dotted part (RFC 5952).
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return Uint8Array.from(
    [...left, ...zeros, ...right].flatMap((group) => {
      const value = Number.parseInt(group, 16)
      return [value >> 8, value & 0xff]
    }),
  )
}

/** An element in DER: tag, length, content. */
function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const bytes = concat(content)
  const { byteLength } = bytes
  const length =
    byteLength < 0x80
      ? [byteLength]
      : byteLength < 0x100
        ? [0x81, byteLength]
        : [0x82, byteLength >> 8, byteLength & 0xff]
  return concat([Uint8Array.from([tag, ...length]), bytes])
}
