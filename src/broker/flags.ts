/** The broker's flags, and the keys of its configuration file. */
export const brokerFlags = {
  listen: { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-ca': { type: 'string' },
  source: { type: 'string' },
  'store-root': { type: 'string' },
  'version-key': { type: 'string' },
  auth: { type: 'string' },
  kubeconfig: { type: 'string' },
  audience: { type: 'string' },
  audit: { type: 'string' },
  'audit-key': { type: 'string' },
  'audit-limit': { type: 'string' },
  metrics: { type: 'string' },
  'require-injected': { type: 'boolean' },
  'bind-pod-ip': { type: 'string' },
  'max-streams': { type: 'string' },
  'log-level': { type: 'string' },
  config: { type: 'string' },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
} as const

/** The broker's `--help`. */
export const brokerHelp = `Usage: latchkey-broker --listen HOST:PORT --tls-cert FILE --tls-key FILE --source SOURCE [options]

Tells who a pod is, what it may mount, and streams it the secrets it asked for.

  --listen HOST:PORT    where pods connect, over TLS 1.3
  --tls-cert FILE       certificate chain, PEM; a new one is used without a restart
  --tls-key FILE        its private key, PEM
  --tls-ca FILE         certificate authorities to hand out to pods, PEM: the one that signed the
                        certificate, and those that will sign later ones
  --source SOURCE       where secrets come from: kubernetes, or file:DIR
  --store-root file:FILE  what opens a file source
  --auth AUTH           who pods are: kubernetes (default), or static:FILE, on loopback only
  --kubeconfig FILE     the API server; by default that of the pod in which this runs
  --audience NAME       audience that tokens must have (default latchkey)
  --require-injected    serve only pods that the webhook has injected, with their own plan
  --bind-pod-ip MODE    off (default), warn or enforce: the client must be at its pod's address
  --version-key file:FILE  32 bytes that name versions; the same for all replicas
  --audit FILE          record every decision there, hash-chained; nothing is handed out unrecorded
  --audit-key file:FILE Ed25519 private key, PEM, that signs its checkpoints; by default one per run
  --audit-limit SIZE    what it may take, such as 900Mi: the file and nine before it, FILE.1 to FILE.9, and
                        older ones go; without a limit by default
  --metrics HOST:PORT   serve /metrics, /livez and /readyz there, over plain HTTP
  --max-streams N       streams at a time (default 20000)
  --log-level LEVEL     debug, info, warn or error (default info)
  --config FILE         YAML file with any of these, by the same names; flags win over it
  --version             print the version
  --help                print this

Runs until SIGTERM or SIGINT, then sends its pods elsewhere and ends. Logs to standard error.
Exit codes: 0 stopped, 1 failed, 2 used wrongly, 3 refused because it would lose data.
`
