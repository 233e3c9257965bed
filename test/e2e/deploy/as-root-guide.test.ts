import test from 'ava'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { sections } from '../../support/markdown.ts'
import { useGround } from '../support/ground.ts'
import { type GuidedSite, createGuidedSite } from '../support/guided-site.ts'
import { connectKms } from '../support/kms-client.ts'
import { kmsCheck } from '../support/kms-check.ts'
import { collection } from '../support/kubernetes.ts'
import type { SystemdMachine } from '../support/systemd-machine.ts'
import { until } from '../support/until.ts'

// deploy/README.md, done: its blocks are run as they stand and in their order.

const ground = useGround(test)
const guide = readFileSync(join(import.meta.dirname, '../../../deploy/README.md'), 'utf8')
const secrets = collection('v1', 'secrets', 'default')

let site: GuidedSite
let machine: SystemdMachine

test.before(async () => {
  site = await createGuidedSite(ground, guide)
  machine = site.machine
})

test.serial('1a: the plugin runs as a systemd service, and as closed as its unit says', async (t) => {
  const [version, , keyId, active] = await site.follow('1a. As a systemd service')
  t.is(version, '0.1.0\n')
  t.regex(keyId ?? '', /^lk1\.1\.[A-Za-z0-9_-]{22}\n$/)
  t.regex(active ?? '', /^active\nactive\n/)
  t.regex(active ?? '', /^ok +socket +answers with key lk1\.1\./m)

  const main = await machine.run('systemctl show latchkey-kms.service --property MainPID --value')
  const uid = (await machine.run('id --user latchkey')).trim()
  const status = await machine.run(`cat /proc/${main.trim()}/status`)
  t.regex(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'))
  for (const line of ['CapBnd:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2']) {
    t.true(status.includes(`\n${line}\n`), line)
  }
  const limits = await machine.run(`cat /proc/${main.trim()}/limits`)
  t.regex(limits, /^Max core file size +0 +0 /m)
  t.is(await machine.run('stat --format "%a %U" /run/latchkey/kms.sock'), '600 root\n')
  t.regex(
    await machine.run('systemctl show latchkey-kms.service --property StatusText'),
    /serving generation 1/,
  )
})

test.serial('1a: restarts refuse no call, and a crash only the one in flight', async (t) => {
  // What is shown is that calls wait, and not how fast a busy machine starts a process.
  const client = await connectKms(machine.path('/run/latchkey/kms.sock'), 60_000)
  t.teardown(() => {
    client.close()
  })
  let [calls, done] = [0, false]
  const failures: unknown[] = []
  const load = (async () => {
    while (!done) {
      const plaintext = randomBytes(32)
      try {
        t.deepEqual(await client.decrypt(await client.encrypt(plaintext)), plaintext)
      } catch (error) {
        failures.push(error)
      }
      calls += 1
    }
  })()
  for (let restart = 0; restart < 3; restart += 1) {
    await machine.run('systemctl restart latchkey-kms.service; sleep 1.5')
  }
  t.deepEqual(failures, [])
  await machine.run('systemctl kill --signal=KILL latchkey-kms.service')
  const restarts = 'systemctl show latchkey-kms.service -p NRestarts --value'
  await until('the restart', async () => (await machine.run(restarts)) === '1\n', {
    timeoutMs: 20_000,
    everyMs: 200,
  })
  await until('an answer', () => client.status(), { timeoutMs: 20_000 })
  done = true
  await load
  t.true(failures.length <= 1, JSON.stringify(failures))
  t.true(calls > 100, String(calls))
  t.is(await machine.run(restarts), '1\n')
  t.deepEqual((await site.log()).match(/.*notify_failed.*/g), null)
})

test.serial('1a: the metrics are on loopback', async (t) => {
  const metrics = await machine.run('curl --silent http://127.0.0.1:9464/metrics')
  t.regex(metrics, /^latchkey_kms_keyring_generation(?:\{.*\})? 1$/m)
  t.is(await machine.run('curl --silent http://127.0.0.1:9464/livez'), 'ok\n')
})

test.serial('2: a backup is made', async (t) => {
  await site.follow('2. Back up, before anything depends on it')
  const files = await machine.run('stat --format "%a %U" /var/lib/latchkey/backup-1.latchkey')
  t.is(files, '600 latchkey\n')
})

test.serial('3: kubeadm takes the configuration, and new Secrets are encrypted', async (t) => {
  const heading = '3. Tell the API server'
  const outputs = await site.follow(heading, ({ words }) => words[0] !== 'cluster')
  t.regex(outputs.at(-1) ?? '', /^ok +kube-apiserver /m)

  const path = machine.path('/etc/kubernetes/manifests/kube-apiserver.yaml')
  const { spec } = parse(await readFile(path, 'utf8')) as Manifest
  const [container] = spec.containers
  const paths = new Map(spec.volumes.map(({ name, hostPath }) => [name, hostPath.path]))
  const mounts = container.volumeMounts.map(({ name, mountPath }) => [mountPath, paths.get(name)])
  for (const directory of ['/etc/kubernetes/latchkey', '/run/latchkey']) {
    t.true(mounts.some((pair) => pair.every((end) => end === directory)), directory)
  }
  t.deepEqual(
    container.command.filter((flag) => flag.startsWith('--encryption-provider')),
    [
      '--encryption-provider-config=/etc/kubernetes/latchkey/encryption.yaml',
      '--encryption-provider-config-automatic-reload=true',
    ],
  )

  await site.replaceServer('encrypting')
  const [check] = await site.follow(heading, ({ words }) => words[0] === 'cluster')
  t.regex(check ?? '', /k8s:enc:kms:v2:latchkey:/)
  t.is(await site.keyOf('one'), undefined)
  t.true(await site.readable())
})

test.serial('4: what was there is encrypted, and plaintext no longer accepted', async (t) => {
  const [replaced, plain, , reloads] = await site.follow('4. Encrypt what is there')
  t.is(replaced?.match(/replaced$/gm)?.length, 3)
  t.is(plain, '0\n')
  t.regex(reloads ?? '', /status="success"/)
  t.is(await site.keyOf('one'), (await site.keys())[0]?.id)
  t.true(await site.readable())
  await site.etcd.client.put('/registry/secrets/default/planted', Buffer.from('in plaintext'))
  await t.throwsAsync(site.server().admin.get(secrets, 'planted'))
  await site.outside('etcdctl del /registry/secrets/default/planted')
  await read()
})

test.serial('5: the key is rotated, and the old one retired', async (t) => {
  const [first] = await site.keys()
  const outputs = await site.follow('5. Rotate the key')
  const states = await site.keys()
  t.deepEqual(
    states.map(({ state }) => state),
    ['retired', 'active'],
  )
  t.is(states[0]?.id, first?.id)
  t.true(outputs[1]?.startsWith('latchkey_kms_keyring_generation 2\n'), outputs[1])
  t.regex(outputs[2] ?? '', new RegExp(`^${states[1]?.id ?? '?'}$`, 'm'))
  t.regex(outputs[3] ?? '', new RegExp(`^ *3 ${states[1]?.id ?? '?'}$`, 'm'))
  t.is(await site.keyOf('two'), states[1]?.id)
  t.true(await site.readable())
})

test.serial('6: the drill restores every key', async (t) => {
  const [output] = await site.follow('6. Restore, and the drill')
  for (const { id } of await site.keys()) t.true(output?.includes(id), id)
})

test.serial('7: the root is changed, and the API server does not notice', async (t) => {
  await site.follow('7. Change the root')
  t.is(await machine.run('ls /etc/latchkey'), 'kms.yaml\nroot-2.key\n')
  t.true((await kmsCheck(site.server().admin)).ok)
  await read()
})

test.serial('7: a root that systemd seals serves as well', async (t) => {
  const { blocks } = sections(guide).find(({ heading }) => heading === 'Seal the root') ?? {}
  // The machine has no TPM, and its host key lies in memory, which systemd takes only when told to.
  const script = blocks?.[0]?.text.replace('encrypt --name', 'encrypt --with-key=host --name')
  t.true(script?.includes('--with-key=host'))
  await machine.run(script ?? 'false')
  t.is(await machine.run('ls /etc/latchkey'), 'kms.yaml\nroot.sealed\n')
  t.regex(
    await machine.run('systemctl show latchkey-kms.service --property StatusText'),
    /serving generation/,
  )
  await machine.run('latchkey doctor --listen unix:///run/latchkey/kms.sock')
})

test.serial('10: the encryption is taken off again', async (t) => {
  const outputs = await site.follow('10. Take the encryption off again')
  t.is(outputs[1]?.trim().split('\n').at(-1), '0')
  await site.replaceServer('plain')
  t.true(await site.readable())
  t.is(await site.keyOf('three'), undefined)
  const { stdout } = await machine.try('systemctl is-active latchkey-kms.socket')
  t.is(stdout, 'inactive\n')
})

/** After an object that cannot be decrypted the API server starts its cache anew, and asks to wait. */
async function read(): Promise<void> {
  await until('the API server to read what was there', async () => await site.readable(), {
    timeoutMs: 60_000,
    everyMs: 500,
  })
}

interface Manifest {
  readonly spec: {
    readonly containers: readonly [
      {
        readonly command: readonly string[]
        readonly volumeMounts: readonly { name: string; mountPath: string }[]
      },
    ]
    readonly volumes: readonly { name: string; hostPath: { path: string } }[]
  }
}
