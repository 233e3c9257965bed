/** The network of a one-node cluster. It exists in the cluster's own namespace alone, so all have the same. */
export const addresses = {
  /** The node, the API server and CoreDNS. namespaces.sh gives it to the bridge. */
  node: '10.244.0.1',
  pods: '10.244.0.0/24',
  firstPod: '10.244.0.10',
  services: '10.96.0.0/16',
  /** Service `default/kubernetes`. */
  apiServer: '10.96.0.1',
  /** Service `kube-system/kube-dns`. */
  dns: '10.96.0.10',
} as const

/** Name of the node. */
export const nodeName = 'node1'
/** Name of the bridge that pods are connected to. */
export const bridge = 'br0'
