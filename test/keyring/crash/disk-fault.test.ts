import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs/promises'
import { describeError, isLatchkeyError, type ErrorCode } from '../../../src/base/errors.ts'
import { systemDisk } from '../../../src/clients/disk.ts'
import { operations, type Operation } from '../../support/crash/operations.ts'
import { contextIn } from '../../support/crash/place.ts'
import { alike, stateIn } from '../../support/crash/state.ts'
import { copyOf, templateOf, type Template } from '../../support/crash/templates.ts'
import { verify } from '../../support/crash/verify.ts'
import { failingDisk } from '../../support/hooked-disk.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

interface Fault {
  readonly code: string
  readonly expected: ErrorCode
  /** Whether calls after the failed one fail too. */
  readonly lasts: boolean
}

/** Runs the operation on a disk that fails at `call`, and checks what it says and what it leaves. */
async function fail(
  t: ExecutionContext,
  template: Template,
  options: { readonly call: number; readonly fault: Fault },
): Promise<void> {
  const { operation, directory, before, after, calls } = template
  const { call, fault } = options
  const title = `${operation.name}, call ${call} (${calls[call]?.name ?? ''}) ${fault.code}`
  const cwd = `${directory}.${call}.${fault.code}`
  await copyOf(directory, cwd)
  const disk = failingDisk(systemDisk, {
    code: fault.code,
    fails: (_, index) => index === call || (fault.lasts && index > call),
  })
  const error: unknown = await operation.run(contextIn(cwd, disk)).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  const found = await stateIn({ cwd, roots: ['file:root', 'file:new'] })
  if (error === undefined) {
    t.true(alike(found, after), `${title} succeeded, and left ${JSON.stringify(found)}`)
  } else if (!isLatchkeyError(error)) {
    t.fail(`${title}: ${describeError(error)}`)
  } else {
    t.is(error.code, fault.expected, title)
    t.truthy(error.hint ?? (fault.code === 'EIO' ? 'a disk that fails has no remedy here' : ''))
    const inEffect = error.message.includes('is in effect') && error.message.includes('/keyring.')
    t.true(alike(found, inEffect ? after : before), `${title}: ${JSON.stringify(found)}`)
  }
  if (!fault.lasts) {
    t.is(await verify({ operation: operation.name, cwd, before, after }), undefined, title)
  }
  await fs.rm(cwd, { recursive: true })
}

const faults: readonly Fault[] = [
  { code: 'EIO', expected: 'ERR_IO', lasts: false },
  { code: 'ENOSPC', expected: 'ERR_DISK_FULL', lasts: true },
]

async function failEverywhere(t: ExecutionContext, operation: Operation): Promise<void> {
  const template = await templateOf(operation, await temporaryDirectory(t))
  t.true(template.calls.length >= 7)
  for (const fault of faults) {
    for (let call = 0; call < template.calls.length; call += 1) {
      await fail(t, template, { call, fault })
    }
  }
}

for (const operation of operations) {
  test(`${operation.name}: a full or failing disk is told, and nothing is lost`, async (t) => {
    await failEverywhere(t, operation)
  })
}

for (const operation of operations) {
  test(`${operation.name}: a read-only disk is told, and nothing is changed`, async (t) => {
    const template = await templateOf(operation, await temporaryDirectory(t))
    for (const code of ['EROFS', 'EACCES']) {
      await fail(t, template, { call: 0, fault: { code, expected: 'ERR_IO', lasts: true } })
    }
  })
}

test('a directory that may not be written is told, and its keyring still opens', async (t) => {
  const [operation] = operations.filter(({ name }) => name === 'stage')
  if (operation === undefined) throw new Error('there is no operation stage')
  const { directory, before } = await templateOf(operation, await temporaryDirectory(t))
  await fs.chmod(`${directory}/keyring`, 0o500)
  t.teardown(() => fs.chmod(`${directory}/keyring`, 0o700))
  // Permissions do not hold root back: for it, the disk says what it would say to others.
  const disk =
    process.getuid?.() === 0
      ? failingDisk(systemDisk, { code: 'EACCES', fails: ({ name }) => name === 'create' })
      : systemDisk
  await t.throwsAsync(operation.run(contextIn(directory, disk)), {
    code: 'ERR_IO',
    message: /keyring\.[0-9]{10}: EACCES/,
  })
  t.deepEqual(await stateIn({ cwd: directory, roots: ['file:root'] }), before)
})
