import test from 'ava'
import { place, placed, refused } from '../../support/pods.ts'

const one = 'containers: [{ name: a, securityContext: { runAsUser: 5 } }]'
const two = 'containers: [{ name: a }, { name: b }]'

test('each directory is one volume, seen whole by the containers named', (t) => {
  const list = `
- { secret: db, key: k, path: /etc/db/k, containers: [b] }
- { secret: db, key: l, path: /etc/db/l, containers: [b] }
- { secret: tls, path: /etc/tls/ }`
  t.deepEqual(placed(list, two).volumes, [
    {
      directory: '/etc/db',
      entryCount: 2,
      mounts: [{ container: 'b', path: '/etc/db', subPath: undefined }],
    },
    {
      directory: '/etc/tls',
      entryCount: 1,
      mounts: [
        { container: 'a', path: '/etc/tls', subPath: undefined },
        { container: 'b', path: '/etc/tls', subPath: undefined },
      ],
    },
  ])
})

test('bound files of one directory share a volume, and each container sees only its own', (t) => {
  const list = `
- { secret: tls, key: a, path: /etc/nginx/a.key, mount: file, update: restart, containers: [a] }
- { secret: tls, key: b, path: /etc/nginx/b.key, mount: file, update: in-place }
- { secret: tls, key: c, path: /c.key, mount: file, update: in-place, containers: [b] }`
  t.deepEqual(placed(list, two).volumes, [
    {
      directory: '/etc/nginx',
      entryCount: 2,
      mounts: [
        { container: 'a', path: '/etc/nginx/a.key', subPath: 'a.key' },
        { container: 'a', path: '/etc/nginx/b.key', subPath: 'b.key' },
        { container: 'b', path: '/etc/nginx/b.key', subPath: 'b.key' },
      ],
    },
    {
      directory: '/',
      entryCount: 1,
      mounts: [{ container: 'b', path: '/c.key', subPath: 'c.key' }],
    },
  ])
})

test("neither our own container nor a mesh's is given files, or can be asked for", (t) => {
  const spec = `
initContainers: [{ name: latchkey }, { name: istio-init }, { name: migrate }]
containers: [{ name: a }, { name: istio-proxy }, { name: linkerd-proxy }]`
  const mounts = placed('- { secret: db, path: /etc/db/ }', spec).volumes[0]?.mounts
  t.deepEqual(
    mounts?.map(({ container }) => container),
    ['migrate', 'a'],
  )
  t.deepEqual(refused('- { secret: db, path: /etc/db/, containers: [istio-proxy] }', spec), [
    "1 entry 1, containers: names istio-proxy, which was not written by the pod's author; name some of migrate, a",
  ])
})

test('a container that the pod does not have is refused by name', (t) => {
  t.deepEqual(refused('- secret: db\n  path: /etc/db/\n  containers: [a, web]\n', two), [
    '3 entry 1, containers: names web, which the pod does not have; name some of a, b',
  ])
})

test('a path that a container already uses is refused', (t) => {
  const mounts = (path: string): string =>
    `containers: [{ name: a, volumeMounts: [{ name: v, mountPath: ${path} }] }]`
  const fix = 'choose another path, or remove that volumeMount'
  for (const path of ['/etc/db', '/etc/db/', '//etc//db', '/etc/./db/.', '/etc/x/../db']) {
    t.deepEqual(refused('- { secret: db, path: /etc/db/ }', mounts(path)), [
      `1 entry 1, path: is where container a already mounts a volume; ${fix}`,
    ])
  }
  t.deepEqual(refused('- { secret: db, key: k, path: /etc/db/k }', mounts('/etc/db/certs')), [
    `1 entry 1, path: holds /etc/db/certs, where container a mounts a volume, which cannot be below a read-only one; ${fix}`,
  ])
  const file = '- { secret: db, key: k, path: /etc/db/k, mount: file, update: restart }'
  t.deepEqual(refused(file, mounts('/etc/db/k')), [
    `1 entry 1, path: is where container a already mounts a volume; ${fix}`,
  ])
  t.deepEqual(refused(file, mounts('/etc/db/other')), [])
  t.deepEqual(refused('- { secret: db, path: /etc/db/ }', mounts('/etc/dbs')), [])
})

test('what is left of an earlier injection is in nobody’s way', (t) => {
  const spec =
    'containers: [{ name: a, volumeMounts: [{ name: latchkey-files-1, mountPath: /etc/db }] }]'
  t.deepEqual(refused('- { secret: db, path: /etc/db/ }', spec), [])
})

test('a pod that shares process ids cannot keep containers apart', (t) => {
  const list = '- { secret: db, path: /etc/db/, containers: [a] }'
  t.deepEqual(refused(list, `{ shareProcessNamespace: true, ${two} }`), [
    "1 entry 1, containers: cannot hold: with shareProcessNamespace containers reach each other's files through /proc; remove containers, or remove shareProcessNamespace from the pod's spec",
  ])
  t.deepEqual(refused(list, `{ hostPID: true, ${two} }`), [
    "1 entry 1, containers: cannot hold: with hostPID containers reach each other's files through /proc; remove containers, or remove hostPID from the pod's spec",
  ])
  t.deepEqual(refused('- { secret: db, path: /etc/db/ }', `{ hostPID: true, ${two} }`), [])
})

test('a signal needs shared process ids and one user', (t) => {
  const list = '- { secret: db, path: /etc/db/, onChange: { signal: SIGHUP, process: nginx } }'
  t.deepEqual(refused(list, one), [
    "1 entry 1, onChange.signal: needs a pod whose containers share process ids; add shareProcessNamespace: true to the pod's spec, or use onChange: { http: … }",
  ])
  t.deepEqual(refused(list, `{ shareProcessNamespace: true, ${one} }`), [])
  t.deepEqual(refused(list, `{ shareProcessNamespace: true, ${two} }`), [
    "1 entry 1, onChange.signal: cannot reach container a, whose user is not the sidecar's; declare one runAsUser, not 0, for all containers, or use onChange: { http: … }",
  ])
  t.deepEqual(refused(list, `{ hostPID: true, ${one} }`), [
    '1 entry 1, onChange.signal: is not possible with hostPID: it could reach processes of other pods; use onChange: { http: … }',
  ])
})

test('a pod for Windows is refused', (t) => {
  t.deepEqual(refused('- { secret: db, path: /etc/db/ }', `{ os: { name: windows }, ${one} }`), [
    '1 the pod is for Windows, and the sidecar runs on Linux only; remove the annotation, or run the workload on Linux',
  ])
  for (const label of ['kubernetes.io/os', 'beta.kubernetes.io/os']) {
    const selects = (os: string): string => `{ nodeSelector: { ${label}: ${os} }, ${one} }`
    t.is(refused('- { secret: db, path: /etc/db/ }', selects('windows')).length, 1)
    t.deepEqual(refused('- { secret: db, path: /etc/db/ }', selects('linux')), [])
  }
})

test('our files are not turned into environment variables', (t) => {
  const spec =
    'containers: [{ name: a, env: [{ name: P, valueFrom: { fileKeyRef: { volumeName: latchkey-files-1, path: p, key: k } } }] }]'
  t.deepEqual(refused('- { secret: db, path: /etc/db/ }', spec), [
    '1 container a turns a file of Latchkey into an environment variable; remove that fileKeyRef, and let the program read the file',
  ])
})

test('every problem is told, in order of the lines', (t) => {
  const list = `
- secret: a
  path: /a/
  containers: [x]
- secret: b
  path: /b/
  containers: [y]`
  t.deepEqual(
    refused(list, two).map((line) => line.slice(0, 30)),
    ['4 entry 1, containers: names x', '7 entry 2, containers: names y'],
  )
})

test('a complete plan over 64 KiB is refused', (t) => {
  const filler = 'é'.repeat(32_000)
  const list = `- { secret: db, path: /a/f, template: "{{ k }}${filler}" }`
  t.deepEqual(refused(list, one), [])
  const longer = `- { secret: db, path: /a/f, template: "{{ k }}${filler}${'x'.repeat(1460)}" }`
  t.regex(
    refused(longer, one).join(),
    /^1 the complete plan is 655\d\d bytes long, more than 65536/,
  )
})

const advice = (list: string, spec: string): readonly string[] => placed(list, spec).warnings

test('what is unwise is said', (t) => {
  const spec = 'serviceAccountName: web\ncontainers: [{ name: a }]'
  t.deepEqual(advice('- { secret: db, path: /etc/db/ }', spec), [])
  t.deepEqual(advice('- { secret: db, path: /etc/db/ }', 'containers: [{ name: a }]'), [
    'the pod runs as service account default, so every pod of the namespace that names none shares its secrets; give it an account of its own',
  ])
  t.deepEqual(advice('- { secret: db, path: /etc/db/, onDenied: keep }', spec), [
    'entry 1 keeps its files when the permission is withdrawn (onDenied: keep)',
  ])
  const nested =
    'serviceAccountName: web\ncontainers: [{ name: a, volumeMounts: [{ name: v, mountPath: /etc }] }]'
  t.deepEqual(advice('- { secret: db, path: /etc/db/ }', nested), [
    'entry 1 lies in /etc, which container a mounts: a mount point for it is made in that volume',
  ])
  const environment = `
serviceAccountName: web
containers:
  - name: a
    env: [{ name: P, valueFrom: { secretKeyRef: { name: db, key: k } } }]
    envFrom: [{ secretRef: { name: db } }, { secretRef: { name: other } }]`
  t.deepEqual(advice('- { secret: db, path: /etc/db/ }', environment), [
    'container a also gets secret db in environment variables, where every child process and crash report sees it; read the file instead',
  ])
  const host = `{ hostNetwork: true, ${spec.replace('\n', ', ')} }`
  t.deepEqual(
    advice('- { secret: db, path: /d/, onChange: { http: http://localhost:1/ } }', host),
    ["entry 1 calls a port of the node, as the pod uses the host's network (onChange)"],
  )
  const shared = `{ serviceAccountName: web, shareProcessNamespace: true, ${one} }`
  t.deepEqual(advice('- { secret: db, path: /etc/db/ }', shared), [
    "the pod shares process ids, and container a runs as the sidecar's user or as root, so it can read the sidecar's token and every file",
  ])
})

test('a pod of any shape is read without an error', (t) => {
  for (const spec of ['~', '[]', '{ containers: 3 }', '{ containers: [1, { name: {} }] }']) {
    t.is(place('- { secret: db, path: /etc/db/ }', spec).kind, 'placement', spec)
  }
})
