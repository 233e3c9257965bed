import test from 'ava'
import { placed, refused } from '../../support/pods.ts'

const password = '- { secret: db, key: password, path: /etc/app/db/password }'
const strict = '- { secret: db, key: password, path: /etc/app/db/password, mode: "0400" }'
const containers = (...each: string[]): string => `containers: [${each.join(', ')}]`
const as = (name: string, uid: number): string =>
  `{ name: ${name}, securityContext: { runAsUser: ${uid} } }`
const modes = (placement: ReturnType<typeof placed>): unknown =>
  placement.plan.entries.map(({ mode, group }) => [`0${(mode ?? 0).toString(8)}`, group])

test('the sidecar runs as the one user that all containers declare, and files are 0400', (t) => {
  const placement = placed(password, containers(as('a', 1000), as('b', 1000)))
  t.deepEqual(placement.owner, { uid: 1000, gid: 64999, addGroups: [] })
  t.deepEqual(modes(placement), [['0400', undefined]])
})

test("a container's user is the pod's unless it declares its own", (t) => {
  const spec = `{ securityContext: { runAsUser: 7 }, containers: [{ name: a }, ${as('b', 8)}] }`
  t.is(placed(password.replace(' }', ', containers: [a] }'), spec).owner.uid, 7)
  t.is(placed(password.replace(' }', ', containers: [b] }'), spec).owner.uid, 8)
  t.is(placed(password, spec).owner.uid, 64999)
})

test('init containers read too, and count', (t) => {
  const spec = `{ initContainers: [${as('i', 9)}], containers: [${as('a', 1000)}] }`
  t.is(placed(password, spec).owner.uid, 64999)
  t.is(placed(password.replace(' }', ', containers: [a] }'), spec).owner.uid, 1000)
})

test('where users differ, files are 0440 of a group that every container gets', (t) => {
  const placement = placed(password, containers(as('a', 1000), as('b', 1001)))
  t.deepEqual(placement.owner, { uid: 64999, gid: 64999, addGroups: [64999] })
  t.deepEqual(modes(placement), [['0440', 64999]])
})

test('a user that only the image knows gets the group', (t) => {
  const placement = placed(password, containers('{ name: a }'))
  t.deepEqual(placement.owner, { uid: 64999, gid: 64999, addGroups: [64999] })
  t.deepEqual(modes(placement), [['0440', 64999]])
})

test('root is nobody the sidecar could be', (t) => {
  t.is(placed(password, containers(as('a', 0))).owner.uid, 64999)
  t.deepEqual(refused(strict, containers(as('a', 0))), [
    '1 entry 1, mode: lets only the owner read, but container a runs as root and the sidecar never does; write mode: "0440", or declare another runAsUser for it',
  ])
})

test('a group that the pod already has is not added again', (t) => {
  const spec = `{ securityContext: { supplementalGroups: [5, 64999] }, containers: [{ name: a }] }`
  t.deepEqual(placed(password, spec).owner.addGroups, [])
})

test("a pod's own fsGroup is taken where the operator prefers it, and only there", (t) => {
  const spec = '{ securityContext: { fsGroup: 2000 }, containers: [{ name: a }] }'
  t.deepEqual(modes(placed(password, spec)), [['0440', 64999]])
  const preferred = placed(password, spec, { preferFsGroup: true })
  t.deepEqual(modes(preferred), [['0440', 2000]])
  t.deepEqual(preferred.owner, { uid: 64999, gid: 64999, addGroups: [] })
  const without = placed(password, containers('{ name: a }'), { preferFsGroup: true })
  t.deepEqual(modes(without), [['0440', 64999]])
  const root = '{ securityContext: { fsGroup: 0 }, containers: [{ name: a }] }'
  t.deepEqual(modes(placed(password, root, { preferFsGroup: true })), [['0440', 64999]])
})

test('an explicit 0400 makes its readers’ user the sidecar’s, and the others read by group', (t) => {
  const list = [
    '- { secret: db, key: password, path: /etc/a/p, mode: "0400", containers: [a] }',
    '- { secret: db, key: password, path: /etc/b/p, containers: [b] }',
    '- { secret: db, key: password, path: /etc/c/p, containers: [a] }',
  ].join('\n')
  const placement = placed(list, containers(as('a', 1000), as('b', 2000)))
  t.deepEqual(placement.owner, { uid: 1000, gid: 64999, addGroups: [64999] })
  t.deepEqual(modes(placement), [
    ['0400', undefined],
    ['0440', 64999],
    ['0400', undefined],
  ])
})

test('an explicit 0400 that cannot hold is refused, saying why', (t) => {
  t.deepEqual(refused(strict, containers('{ name: a }')), [
    '1 entry 1, mode: lets only the owner read, but container a declares no runAsUser to be that; declare one runAsUser for all of its containers, or write mode: "0440"',
  ])
  t.deepEqual(refused(strict, containers(as('a', 1), as('b', 2))), [
    '1 entry 1, mode: lets only the owner read, but its containers run as 1 and 2; declare one runAsUser for all of its containers, or write mode: "0440"',
  ])
  const two = [
    '- { secret: db, key: k, path: /etc/a/k, mode: "0400", containers: [a] }',
    '- { secret: db, key: k, path: /etc/b/k, mode: "0600", containers: [b] }',
  ].join('\n')
  t.deepEqual(refused(two, containers(as('a', 1), as('b', 2))), [
    '2 entry 2, mode: makes user 2 the files\' owner, but entry 1 makes it 1, and the sidecar is one user; write mode: "0440" in one of them, or declare one runAsUser for both',
  ])
})

test('a mode that was asked for is kept', (t) => {
  for (const mode of ['0440', '0540', '0550', '0640', '0750']) {
    const list = `- { secret: db, key: k, path: /etc/a/k, mode: "${mode}" }`
    t.deepEqual(modes(placed(list, containers('{ name: a }'))), [[mode, 64999]])
    // Where the sidecar's user is the readers', nobody else is let in by a group.
    t.deepEqual(modes(placed(list, containers(as('a', 3)))), [[mode, undefined]])
  }
})

test('a group that was asked for must be one that the sidecar is in', (t) => {
  const list = '- { secret: db, key: k, path: /etc/a/k, group: 2000 }'
  t.deepEqual(refused(list, containers('{ name: a }')), [
    "1 entry 1, group: is 2000, which is none of the pod's groups; add 2000 to spec.securityContext.supplementalGroups, or remove group",
  ])
  for (const security of ['supplementalGroups: [2000]', 'fsGroup: 2000']) {
    const placement = placed(
      list,
      `{ securityContext: { ${security} }, containers: [{ name: a }] }`,
    )
    t.deepEqual(placement.owner, { uid: 64999, gid: 64999, addGroups: [] })
    t.deepEqual(modes(placement), [['0440', 2000]])
  }
  const own = `{ securityContext: { runAsGroup: 2000 }, containers: [{ name: a }] }`
  t.deepEqual(placed(list, own).owner, { uid: 64999, gid: 2000, addGroups: [] })
  const operators = '- { secret: db, key: k, path: /etc/a/k, group: 64999 }'
  t.deepEqual(placed(operators, containers('{ name: a }')).owner.addGroups, [64999])
})

test('the sidecar cannot have two primary groups', (t) => {
  const list = [
    '- { secret: db, key: k, path: /etc/a/k, group: 2000, containers: [a] }',
    '- { secret: db, key: k, path: /etc/b/k, group: 3000, containers: [b] }',
  ].join('\n')
  const group = (name: string, gid: number): string =>
    `{ name: ${name}, securityContext: { runAsGroup: ${gid} } }`
  t.deepEqual(refused(list, containers(group('a', 2000), group('b', 3000))), [
    "2 entry 2, group: is 3000, which is none of the pod's groups; add 3000 to spec.securityContext.supplementalGroups, or remove group",
  ])
})

test('where the platform assigns users, the sidecar leaves its own to it', (t) => {
  const settings = { uid: 'assigned' } as const
  const open = placed(password, containers('{ name: a }'), settings)
  t.deepEqual(open.owner, { uid: undefined, gid: undefined, addGroups: [64999] })
  t.deepEqual(modes(open), [['0440', 64999]])
  const closed = placed(strict, containers('{ name: a }'), settings)
  t.deepEqual(closed.owner, { uid: undefined, gid: undefined, addGroups: [] })
  t.deepEqual(modes(closed), [['0400', undefined]])
  const assigned = placed(password, containers(as('a', 1000650000)), settings)
  t.deepEqual(assigned.owner, { uid: 1000650000, gid: undefined, addGroups: [] })
  t.deepEqual(modes(assigned), [['0400', undefined]])
  const mixed = [
    '- { secret: db, key: k, path: /etc/a/k, mode: "0400", containers: [a] }',
    '- { secret: db, key: k, path: /etc/b/k, containers: [b] }',
  ].join('\n')
  const both = placed(mixed, containers('{ name: a }', as('b', 5)), settings)
  t.deepEqual(modes(both), [
    ['0400', undefined],
    ['0440', 64999],
  ])
})
