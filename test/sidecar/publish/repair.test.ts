import test from 'ava'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import {
  filesOf,
  generationsIn,
  publisherAt,
  seen,
  seenThroughLink,
  temporaryDirectory,
} from '../../support/publishing.ts'

const modeOf = (path: string): number => fs.lstatSync(path).mode & 0o7777

const disturbances: Readonly<Record<string, (directory: string) => void>> = {
  'a stale temporary link': (directory) => {
    fs.symlinkSync('..gen-9', join(directory, '..link'))
  },
  'a directory under the name of the temporary link': (directory) => {
    fs.mkdirSync(join(directory, '..link/x'), { recursive: true })
  },
  '..data replaced by a file': (directory) => {
    fs.unlinkSync(join(directory, '..data'))
    fs.writeFileSync(join(directory, '..data'), 'x')
  },
  '..data replaced by a directory': (directory) => {
    fs.unlinkSync(join(directory, '..data'))
    fs.mkdirSync(join(directory, '..data/sub'), { recursive: true })
  },
  '..data pointing outside': (directory) => {
    fs.unlinkSync(join(directory, '..data'))
    fs.symlinkSync('/etc', join(directory, '..data'))
  },
  '..data missing': (directory) => {
    fs.unlinkSync(join(directory, '..data'))
  },
  '..data dangling': (directory) => {
    fs.unlinkSync(join(directory, '..data'))
    fs.symlinkSync('..gen-77', join(directory, '..data'))
  },
  'the generation replaced by a link': (directory) => {
    fs.rmSync(join(directory, '..gen-1'), { recursive: true })
    fs.symlinkSync('/etc', join(directory, '..gen-1'))
  },
  'an orphan of a crashed writer': (directory) => {
    fs.mkdirSync(join(directory, '..gen-2'))
    fs.writeFileSync(join(directory, '..gen-2/a'), 'half')
  },
  'a regular file under a visible name': (directory) => {
    fs.unlinkSync(join(directory, 'a'))
    fs.writeFileSync(join(directory, 'a'), 'stale', { mode: 0o644 })
  },
  'an empty directory under a visible name': (directory) => {
    fs.unlinkSync(join(directory, 'a'))
    fs.mkdirSync(join(directory, 'a'))
  },
  'a visible name pointing elsewhere': (directory) => {
    fs.unlinkSync(join(directory, 'a'))
    fs.symlinkSync('/etc/passwd', join(directory, 'a'))
  },
  'a visible name missing': (directory) => {
    fs.unlinkSync(join(directory, 'a'))
  },
  'a version link missing': (directory) => {
    fs.unlinkSync(join(directory, '..version'))
  },
  'a mode that was widened': (directory) => {
    fs.chmodSync(join(directory, '..gen-1/a'), 0o666)
  },
  'a generation that was opened': (directory) => {
    fs.chmodSync(join(directory, '..gen-1'), 0o777)
  },
  'content that was changed': (directory) => {
    fs.chmodSync(join(directory, '..gen-1/a'), 0o600)
    fs.writeFileSync(join(directory, '..gen-1/a'), 'Hunter2')
  },
  'a file made larger than any memory': (directory) => {
    fs.truncateSync(join(directory, '..gen-1/a'), 2 ** 40)
  },
  'a manifest made larger than any memory': (directory) => {
    fs.truncateSync(join(directory, '..gen-1/..set'), 2 ** 40)
  },
  'a pipe in place of a file': (directory) => {
    fs.unlinkSync(join(directory, '..gen-1/a'))
    execFileSync('mkfifo', [join(directory, '..gen-1/a')])
  },
  'a pipe in place of the manifest': (directory) => {
    fs.unlinkSync(join(directory, '..gen-1/..set'))
    execFileSync('mkfifo', [join(directory, '..gen-1/..set')])
  },
  'a file replaced by a link': (directory) => {
    fs.unlinkSync(join(directory, '..gen-1/a'))
    fs.symlinkSync('/etc/passwd', join(directory, '..gen-1/a'))
  },
  'a file replaced by a directory': (directory) => {
    fs.unlinkSync(join(directory, '..gen-1/a'))
    fs.mkdirSync(join(directory, '..gen-1/a'))
  },
  'a manifest that is not one': (directory) => {
    fs.chmodSync(join(directory, '..gen-1/..set'), 0o600)
    fs.writeFileSync(
      join(directory, '..gen-1/..set'),
      '{"format":1,"plan":"plan-1","files":[["../x",0,1,256,-1]]}',
    )
  },
}

for (const [what, disturb] of Object.entries(disturbances)) {
  test(`repaired by the next publication: ${what}`, (t) => {
    const root = temporaryDirectory(t)
    const directory = join(root, 'etc/app/db')
    publisherAt(root).publish(filesOf({ a: 'hunter2' }))
    disturb(directory)
    const { published, repaired } = publisherAt(root).publish(filesOf({ a: 'hunter2' }))
    t.deepEqual(seen(directory), { a: 'hunter2' })
    t.deepEqual(seenThroughLink(directory), { a: 'hunter2' })
    const generation = join(directory, fs.readlinkSync(join(directory, '..data')))
    t.is(modeOf(join(generation, 'a')), 0o400)
    t.is(modeOf(generation), 0o700)
    t.is(
      fs.readFileSync(join(directory, '..version'), 'utf8').trim(),
      generation.split('-').at(-1) ?? '',
    )
    const quiet = [
      'a stale temporary link',
      'an orphan of a crashed writer',
      'a directory under the name of the temporary link',
    ]
    t.is(published || repaired, !quiet.includes(what))
  })

  test(`survived or repaired by a restart: ${what}`, (t) => {
    const root = temporaryDirectory(t)
    const directory = join(root, 'etc/app/db')
    publisherAt(root).publish(filesOf({ a: 'hunter2' }))
    disturb(directory)
    const later = publisherAt(root)
    if (later.adopt().manifest !== undefined) t.is(seenThroughLink(directory)?.['a']?.length, 7)
    later.publish(filesOf({ a: 'next' }))
    later.dropPrevious()
    t.deepEqual(seen(directory), { a: 'next' })
    t.is(generationsIn(directory).length, 1)
    t.deepEqual(fs.readdirSync(directory).sort(), [
      '..data',
      generationsIn(directory)[0],
      '..version',
      'a',
    ])
  })
}

test('a directory with something in it is not removed to make room for a file', (t) => {
  const root = temporaryDirectory(t)
  const target = join(root, 'etc/app/db/a')
  fs.mkdirSync(join(target, 'mine'), { recursive: true })
  t.throws(() => publisherAt(root).publish(filesOf({ a: '1' })), { code: 'ERR_TARGET_UNSAFE' })
  t.true(fs.existsSync(join(target, 'mine')))
})

test('a directory that hands its group on, as the volumes of a pod with fsGroup do, needs no repair', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  fs.mkdirSync(directory, { recursive: true })
  fs.chmodSync(directory, 0o2770)
  const publisher = publisherAt(root)
  for (const mode of [0o400, 0o440]) {
    t.true(publisher.publish(filesOf({ [`a${mode}`]: '1' }, { mode })).published)
    t.false(publisher.verify().repaired, 'a look')
    t.false(publisher.publish(filesOf({ [`a${mode}`]: '1' }, { mode })).repaired, 'a set')
  }
})

test('a look between sets repairs links and modes, and leaves the generation before in its grace', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publisher = publisherAt(root)
  publisher.publish(filesOf({ a: '1' }))
  publisher.publish(filesOf({ a: '2' }))
  t.false(publisher.verify().repaired)
  fs.chmodSync(join(directory, '..gen-2/a'), 0o644)
  fs.unlinkSync(join(directory, 'a'))
  t.true(publisher.verify().repaired)
  t.is(modeOf(join(directory, '..gen-2/a')), 0o400)
  t.deepEqual(seen(directory), { a: '2' })
  t.deepEqual(generationsIn(directory), ['..gen-1', '..gen-2'])
  fs.truncateSync(join(directory, '..gen-2/a'), 0)
  t.is(publisher.verify().manifest, undefined)
})

test('a set is announced when all is written and nothing is visible', (t) => {
  const root = temporaryDirectory(t)
  const directory = join(root, 'etc/app/db')
  const publisher = publisherAt(root)
  publisher.publish([...filesOf({ a: '1' }), ...filesOf({ b: '1' }, { entry: 1 })])
  const announced: unknown[] = []
  const next = [...filesOf({ a: '1' }), ...filesOf({ b: '2' }, { entry: 1 })]
  publisher.publish(next, {
    beforeSwitch: (changed) => {
      announced.push([...changed], seen(directory), seen(join(directory, '..gen-2')))
    },
  })
  t.deepEqual(announced, [[1], { a: '1', b: '1' }, { a: '1', b: '2' }])
  publisher.publish(next, {
    beforeSwitch: () => {
      t.fail('nothing changes')
    },
  })
  t.throws(
    () =>
      publisher.publish(filesOf({ a: '3' }), {
        beforeSwitch: () => {
          throw new Error('not now')
        },
      }),
    { message: 'not now' },
  )
  t.deepEqual(seen(directory), { a: '1', b: '2' })
  t.deepEqual(generationsIn(directory), ['..gen-1', '..gen-2'])
})
