import test from 'ava'
import fc from 'fast-check'
import { parsePlan, readPlan } from '../../../src/injection/parse.ts'
import { readPodFacts } from '../../../src/injection/pod/facts.ts'
import { placePlan } from '../../../src/injection/pod/place.ts'
import { printPlan } from '../../../src/injection/print.ts'

const names = ['a', 'b', 'c']
const id = fc.option(fc.constantFrom(0, 1000, 2000, 64999), { nil: undefined })
const security = fc.record({ runAsUser: id, runAsGroup: id })
const pod = fc.record({
  spec: fc.record({
    shareProcessNamespace: fc.boolean(),
    securityContext: fc.record({
      runAsUser: id,
      fsGroup: id,
      supplementalGroups: fc.constantFrom([], [2000], [64999]),
    }),
    containers: fc.tuple(
      ...names.map((name) => fc.record({ name: fc.constant(name), securityContext: security })),
    ),
  }),
})
const entry = fc.record(
  {
    secret: fc.constantFrom('db', 'tls'),
    directory: fc.constantFrom('x', 'y'),
    mode: fc.constantFrom('0400', '0440', '0640', '0600'),
    group: fc.constantFrom(2000, 64999),
    containers: fc.subarray(names, { minLength: 1 }),
  },
  { requiredKeys: ['secret', 'directory'] },
)
const settings = fc.record({
  uid: fc.constantFrom(64999, 'assigned' as const),
  gid: fc.constant(64999),
  preferFsGroup: fc.boolean(),
})

test('a placement holds what it promises, and its plan is one that can be read', (t) => {
  let placements = 0
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 4 }),
      pod,
      settings,
      (entries, spec, chosen) => {
        const list = entries.map(({ directory, ...rest }, index) => ({
          ...rest,
          key: 'k',
          path: `/srv/${directory}/${index}`,
        }))
        const reading = readPlan(JSON.stringify(list))
        if (reading.kind === 'problems') return
        const facts = readPodFacts(JSON.parse(JSON.stringify(spec)) as { spec: never })
        const result = placePlan(reading, facts, chosen)
        if (result.kind === 'problems') return
        placements += 1
        const { plan, owner } = result.placement
        t.deepEqual(parsePlan(printPlan(plan)), plan)
        const groups = new Set([
          ...facts.supplementalGroups,
          ...owner.addGroups,
          facts.fsGroup,
          owner.gid,
        ])
        t.not(owner.uid, 0)
        plan.entries.forEach(({ mode = 0, group, containers }, index) => {
          const asked = list[index]?.mode
          if (asked !== undefined) t.is(`0${mode.toString(8)}`, asked)
          t.is(mode & 0o007, 0)
          // The sidecar can give the file that group, and whoever is to read the file can.
          if (group !== undefined) t.true(groups.has(group))
          for (const each of facts.containers) {
            if (!(containers?.includes(each.name) ?? true)) continue
            const isOwner = each.uid === owner.uid
            const inGroup =
              group !== undefined &&
              (each.gid === group ||
                facts.fsGroup === group ||
                facts.supplementalGroups.includes(group) ||
                owner.addGroups.includes(group))
            t.true(isOwner || ((mode & 0o040) !== 0 && inGroup), JSON.stringify({ each, owner }))
          }
        })
      },
    ),
    { numRuns: 3000 },
  )
  t.true(placements > 50, `only ${placements}`)
})
