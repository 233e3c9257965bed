import { LatchkeyError } from './errors.ts'

/** A TCP address to listen on or to call. */
export interface HostPort {
  /** Name or address; an IPv6 address without brackets. */
  readonly host: string
  /** 0 to 65535; 0 lets the system choose. */
  readonly port: number
}

const pattern = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})))$/

/**
 * Reads `HOST:PORT`; an IPv6 address stands in brackets, `[::1]:9443`.
 *
 * @param field - name of the flag or key, for the error
 * @throws `ERR_CONFIG_INVALID`.
 */
export function parseHostPort(text: string, field: string): HostPort {
  const colon = text.lastIndexOf(':')
  const groups = pattern.exec(text.slice(0, Math.max(colon, 0)))?.groups
  const host = groups?.['v6'] ?? groups?.['name']
  const digits = text.slice(colon + 1)
  if (host !== undefined && /^[0-9]{1,5}$/.test(digits) && Number(digits) <= 65_535) {
    return { host, port: Number(digits) }
  }
  throw new LatchkeyError('ERR_CONFIG_INVALID', `${field} is not HOST:PORT`, {
    hint: 'give a host and a port, as in 127.0.0.1:9090 or [::1]:9090',
  })
}

/** Inverse of {@link parseHostPort}. */
export function printHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
