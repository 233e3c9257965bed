import type { Command } from 'commander'

const config = '--config /etc/latchkey/kms.yaml'
const etcd =
  '--etcd https://127.0.0.1:2379 --etcd-ca ca.crt --etcd-cert client.crt --etcd-key client.key'
const backup = 'backup.latchkey --passphrase-file backup.passphrase'
const keyId = 'lk1.1.DMhdm1xc00CbWOYVd_gEug'

/** By the words that name a command: how it is mostly used. A test runs or at least parses each. */
export const examples: Readonly<Record<string, readonly string[]>> = {
  dev: ['latchkey dev', 'latchkey dev --dir /tmp/latchkey-dev'],
  'keys init': [
    `latchkey keys init ${config} --cluster-id prod`,
    'latchkey keys init --keyring try/keyring --root file:try/root.key',
  ],
  'keys list': [`latchkey keys list ${config}`, `latchkey keys list ${config} -o json`],
  'keys stage': [`latchkey keys stage ${config}`],
  'keys activate': [`latchkey keys activate ${config}`],
  'keys rewrap': [`latchkey keys rewrap ${config} --add-root file:/etc/latchkey/root-2.key`],
  'keys rotate': [
    'latchkey keys rotate --config /etc/latchkey/rotate.yaml --dry-run',
    'latchkey keys rotate --config /etc/latchkey/rotate.yaml --yes -o json',
  ],
  'keys retire': [`latchkey keys retire ${keyId} ${config} ${etcd}`],
  'keys destroy': [`latchkey keys destroy ${keyId} ${config} ${etcd}`],
  'keys backup': [
    `latchkey keys backup ${config} --out ${backup}`,
    `latchkey keys backup ${config} --out split.latchkey --shares 5 --threshold 3 --share-dir shares`,
    `latchkey keys backup --check snapshot.db --from ${backup}`,
  ],
  'keys restore': [
    `latchkey keys restore --from ${backup} --keyring drill/keyring --root file:drill/root.key`,
  ],
  'keys shares': ['latchkey keys shares --from split.latchkey --share shares/my-share.txt'],
  'keys adopt': [`latchkey keys adopt --from /var/lib/latchkey/copy ${config}`],
  'keys import': [`latchkey keys import --from /var/lib/latchkey/keyring ${config}`],
  'keys export': [`latchkey keys export --to copy/keyring ${config}`],
  'keys nodes': [`latchkey keys nodes ${config}`],
  'keys nodes remove': [`latchkey keys nodes remove cp-3 ${config}`],
  'backup register': [`latchkey backup register snapshot.db --name 2026-01-02 ${config}`],
  'backup list': [`latchkey backup list ${config}`],
  'backup remove': [`latchkey backup remove 2026-01-02 ${config}`],
  'etcd scan': [
    'latchkey etcd scan --snapshot snapshot.db',
    `latchkey etcd scan ${etcd} --resource secrets --no-plaintext`,
  ],
  'etcd migrate': [
    'latchkey etcd migrate --kubeconfig admin.conf --resource secrets --dry-run',
    `latchkey etcd migrate --kubeconfig admin.conf --resource secrets ${etcd}`,
  ],
  'etcd decrypt': [
    `latchkey etcd decrypt --snapshot snapshot.db --backup ${backup} --out out /registry/secrets/shop/`,
  ],
  status: [`latchkey status ${config}`],
  doctor: [
    `latchkey doctor ${config}`,
    'latchkey doctor --listen unix:///run/latchkey/kms.sock --encryption-config encryption.yaml',
  ],
  'secret set': [
    'latchkey secret set shop/db password --from-file password.txt --config secrets.yaml',
    'openssl rand -base64 24 | latchkey secret set shop/db password --chomp --config secrets.yaml',
  ],
  'secret list': ['latchkey secret list shop --config secrets.yaml'],
  'secret remove': ['latchkey secret remove shop/db password --config secrets.yaml'],
  lint: ['latchkey lint web.yaml', 'kubectl kustomize overlays/prod | latchkey lint -'],
  'explain pod': [
    'latchkey explain pod -f web.yaml',
    'latchkey explain pod web-0 -n shop',
    'latchkey explain pod -f web.yaml --grants | kubectl apply -f -',
  ],
  enroll: ['latchkey enroll shop', 'latchkey enroll shop --remove'],
  'audit verify': ['latchkey audit verify broker.jsonl'],
}

/** Puts the {@link examples} at the end of the help of the commands below `program`. */
export function addExamples(program: Command): void {
  for (const command of program.commands) addTo(command, command.name())
}

function addTo(command: Command, path: string): void {
  const lines = examples[path]
  if (lines !== undefined) {
    const title = lines.length === 1 ? 'Example:' : 'Examples:'
    command.addHelpText('after', ['', title, ...lines.map((line) => `  ${line}`)].join('\n'))
  }
  for (const below of command.commands) addTo(below, `${path} ${below.name()}`)
}
