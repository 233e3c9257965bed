import test from 'ava'
import { until } from '../e2e/support/until.ts'
import { podOf, podStatus } from './support/pods.ts'
import { createShop, type Shop } from './support/shop.ts'
import { takeTurnsWith } from './support/turn.ts'
import { useCluster } from './support/use-cluster.ts'
import { deployment } from './support/workload.ts'

const cluster = useCluster(test)
takeTurnsWith(test, cluster)
const namespace = 'shop'

let shop: Shop
let pod: string

test.before(async () => {
  shop = await createShop(cluster, namespace)
  await shop.put('db', { username: 'shop', password: 'first-password' })
  await shop.grant('db')
  const secrets = `
- { secret: db, key: password, path: /etc/secrets/password, containers: [first, app] }
- { secret: db, path: /var/db/, containers: [app] }
- { secret: db, key: username, path: /etc/app/username, mount: file, update: in-place, containers: [app] }
`
  const look = ['sh', '-c', 'test -s /etc/secrets/password && echo there at my start']
  await cluster.apply(
    deployment(namespace, 'web', {
      secrets,
      user: 1234,
      before: [{ name: 'first', command: look }],
      containers: [
        { name: 'app', command: ['sh', '-c', `${look[2] ?? ''}; exec sleep 2147483647`] },
        { name: 'other' },
      ],
    }),
  )
  pod = await podOf(cluster, namespace, 'web')
})

const inApp = async (script: string): Promise<string> =>
  await shop.exec(pod, 'app', 'sh', '-c', script)

test.serial('the files are there before the first of the pod’s own containers runs', async (t) => {
  for (const name of ['first', 'app']) {
    t.is(await shop.kubectl('logs', pod, `--container=${name}`), 'there at my start\n', name)
  }
  const { containers, initContainers } = await podStatus(cluster, namespace, pod)
  for (const { name, restartCount } of [...containers, ...initContainers]) {
    t.is(restartCount, 0, name)
  }
  t.deepEqual(
    initContainers.map(({ name }) => name),
    ['latchkey', 'first'],
  )
})

test.serial('they belong to the app’s user, and nobody else may read them', async (t) => {
  t.is(await inApp('id -u'), '1234\n')
  t.is(await inApp('stat -L -c "%a %u %F" /etc/secrets/password'), '400 1234 regular file\n')
  t.is(await inApp('stat -L -c "%a %u %F" /var/db/..data'), '700 1234 directory\n')
  t.is(await inApp('cat /etc/secrets/password'), 'first-password')
  t.is(await inApp('cat /var/db/password /var/db/username'), 'first-passwordshop')
  t.is(await inApp('ls /var/db'), 'password\nusername\n')
})

test.serial('they are in memory that is never swapped, and read-only', async (t) => {
  for (const directory of ['/etc/secrets', '/var/db', '/etc/app/username']) {
    const mounted = await inApp(`grep " ${directory} " /proc/mounts`)
    t.regex(mounted, /^tmpfs \S+ tmpfs ro,/, directory)
    t.regex(mounted, /,noswap/, directory)
  }
  const changes = [
    'echo x >/var/db/password',
    'echo x >/etc/app/username',
    'touch /var/db/new',
    'rm -f /etc/secrets/password',
    'mkdir /etc/secrets/directory',
    // The owner of a file may change its mode, but not through a mount that is read-only.
    'busybox chmod 0644 /etc/secrets/password',
    'busybox mount -o remount,rw /var/db',
  ]
  for (const change of changes) {
    t.is(await inApp(`(${change}) 2>/dev/null && echo done || echo refused`), 'refused\n', change)
  }
})

test.serial('one file among those of the image hides none of them', async (t) => {
  t.is(await inApp('cat /etc/app/username'), 'shop')
  t.is(await inApp('cat /etc/app/built-in.conf'), 'part of the image\n')
})

test.serial(
  'the app sees nothing of the token, nor of the sidecar’s own directories',
  async (t) => {
    const find = 'find / -path /proc -prune -o -path /sys -prune -o -name "*latchkey*" -print'
    t.is(await inApp(`${find} 2>/dev/null; true`), '')
    t.notRegex(await inApp('cat /proc/mounts'), / \/run\/latchkey/)
    // What it has is its own, for the API server; the broker accepts another audience alone.
    const token = await inApp('cat /var/run/secrets/kubernetes.io/serviceaccount/token')
    const { aud } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      aud: readonly string[]
    }
    t.false(aud.includes('latchkey'))
    t.notRegex(await inApp('env'), /password|latchkey/i)
  },
)

test.serial('a container that is not named sees nothing', async (t) => {
  const see = await shop.exec(
    pod,
    'other',
    'sh',
    '-c',
    'ls /etc/secrets /var/db 2>&1; ls /etc/app; cat /proc/mounts',
  )
  t.regex(see, /\/etc\/secrets: No such file/)
  t.regex(see, /\/var\/db: No such file/)
  t.regex(see, /built-in\.conf\n(?!username)/)
  t.notRegex(see, / \/(?:etc\/secrets|var\/db|etc\/app\S*) /)
})

test.serial('an update reaches the running app', async (t) => {
  const version = await inApp('cat /var/db/..version')
  await shop.put('db', { password: 'second-password', username: 'shop-2' })
  const updated = async (command: readonly string[], expected: string): Promise<boolean> =>
    (await shop.exec(pod, 'app', ...command)) === expected
  const wait = { timeoutMs: 30_000, everyMs: 100 }
  await until('the file', () => updated(['cat', '/etc/secrets/password'], 'second-password'), wait)
  await until('the directory', () => updated(['cat', '/var/db/password'], 'second-password'), wait)
  await until('the bound file', () => updated(['cat', '/etc/app/username'], 'shop-2'), wait)
  t.not(await inApp('cat /var/db/..version'), version)
  t.is(await inApp('stat -L -c "%a %u" /etc/secrets/password'), '400 1234\n')
})

test.serial('who may no longer mount it loses the files, and goes on running', async (t) => {
  await shop.kubectl('delete', 'rolebinding', 'mount-db')
  await until(
    'the files to go',
    async () =>
      (await inApp('ls /var/db /etc/secrets 2>/dev/null; true')).trim() ===
      '/etc/secrets:\n\n/var/db:',
    { timeoutMs: 30_000, everyMs: 200 },
  )
  t.true((await podStatus(cluster, namespace, pod)).ready)
  await shop.kubectl(
    'create',
    'rolebinding',
    'mount-db',
    '--role=mount-db',
    '--serviceaccount=shop:web',
  )
  await until(
    'the files to come back',
    async () => (await inApp('cat /var/db/password 2>/dev/null; true')) === 'second-password',
    { timeoutMs: 30_000, everyMs: 200 },
  )
  const { containers } = await podStatus(cluster, namespace, pod)
  t.deepEqual(
    containers.map(({ restartCount }) => restartCount),
    [0, 0],
  )
})
