/** Headless Service of the install, behind whose name every replica has an address of its own. */
export const replicasService = 'latchkey-broker-replicas'

const namespaceOf = (service: string): RegExp =>
  new RegExp(String.raw`^${service}\.([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)(?:\.svc(?:\..*)?)?$`)
const replicasName = namespaceOf(replicasService)
const balancedName = namespaceOf('latchkey-broker')

/** The name that the certificates of the install's brokers carry. */
export function brokerName(system: string): string {
  return `latchkey-broker.${system}.svc`
}

/**
 * The name to expect in the certificate of a broker that was named by `host`. Replicas are the pods
 * of Service `latchkey-broker`, and have its certificate: the name of the headless Service is not
 * among those that a cluster's authority can vouch for, unless it was made with it, and running pods
 * must not have to learn of another authority for it.
 */
export function expectedName(host: string): string {
  const system = replicasName.exec(host)?.[1]
  return system === undefined ? host : brokerName(system)
}

/** What to ask in place of `host` where that is one address for all replicas, and so reaches one. */
export function replicasBehind(host: string): string | undefined {
  const system = balancedName.exec(host)?.[1]
  return system === undefined ? undefined : `${replicasService}.${system}.svc:8443`
}
