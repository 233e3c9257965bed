/** The sidecar's `--help`. */
export const sidecarHelp = `Usage: latchkey-sidecar --broker HOST:PORT --ca FILE --token FILE --secrets FILE --root DIR [options]

Keeps the secrets of one pod as files, as a broker says and a plan asks.

  --broker HOST:PORT    the broker
  --broker-name NAME    name in the broker's certificate (default the host of --broker)
  --ca FILE             certificate authorities that vouch for the broker, PEM; no others do
  --token FILE          service account token, read again whenever it changes
  --secrets FILE        the plan: what annotation latchkey.dev/secrets holds
  --root DIR            put before every path of the plan
  --state DIR           for what outlives a restart (default DIR/run/latchkey, of --root); one
                        sidecar at a time. Directories that a new plan no longer names are emptied
                        of what was published there at the next start
  --once                end when every file is published or refused
  --once-timeout TIME   how long that may take (default 60s)
  --health HOST:PORT    serve /startz, /readyz and /livez there: yes or no, nothing else
  --metrics HOST:PORT   serve /metrics there
  --keep-previous TIME  how long readers may use what was replaced (default 60s)
  --verify-every TIME   how often to look whether all is still there (default 30s)
  --max-stale TIME      how long files may go unconfirmed (default for ever)
  --on-stale ACTION     what happens then: report, unready or remove (default report)
  --ca-digest DIGEST    sha256:HEX that the file of --ca must have
  --plan-digest DIGEST  sha256:HEX that the plan must have
  --log-level LEVEL     debug, info, warn or error (default info)
  --config FILE         YAML file with any of these, by the same names; flags win over it
  --version             print the version
  --help                print this

A TIME is a number with ms, s, m or h. Logs to standard error.
Exit codes: 0 stopped, or with --once all published; 1 failed, or with --once stopped before;
2 used wrongly; with --once also 4 something was denied or does not exist, 5 the broker could not
be reached in time.
`

/** The flags, which are also the keys of the configuration file. */
export const sidecarFlags = {
  broker: { type: 'string' },
  'broker-name': { type: 'string' },
  ca: { type: 'string' },
  'ca-digest': { type: 'string' },
  token: { type: 'string' },
  secrets: { type: 'string' },
  'plan-digest': { type: 'string' },
  root: { type: 'string' },
  state: { type: 'string' },
  once: { type: 'boolean' },
  'once-timeout': { type: 'string' },
  health: { type: 'string' },
  metrics: { type: 'string' },
  'keep-previous': { type: 'string' },
  'verify-every': { type: 'string' },
  'max-stale': { type: 'string' },
  'on-stale': { type: 'string' },
  'log-level': { type: 'string' },
  config: { type: 'string' },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
} as const
