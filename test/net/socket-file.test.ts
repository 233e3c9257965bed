import test from 'ava'
import * as fs from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createRandomPool } from '../../src/base/random.ts'
import {
  askSocket,
  identifySocket,
  isTemporaryName,
  removeIfSame,
  temporaryBeside,
} from '../../src/net/socket-file.ts'
import { greetingAt, listening, socketDirectory } from '../support/listening.ts'

const random = createRandomPool()

test('temporary names are recognised', (t) => {
  const [, name = ''] = /^\/run\/(.*)$/.exec(temporaryBeside('/run/kms.sock', random)) ?? []
  t.is(name.length, 12)
  t.true(isTemporaryName(name))
  for (const other of ['kms.sock', '.lk-', '.lk-short', '.lk-toolong12', 'x.lk-AAAAAAAA']) {
    t.false(isTemporaryName(other), other)
  }
})

test('a path without a socket is gone, with a listener live', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  t.is(await identifySocket(path), undefined)
  t.is(await askSocket(path), 'gone')
  await listening(t, path)
  t.is(await askSocket(path), 'live')
})

test('a listener that does not accept is live', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen({ path, backlog: 1 }, resolve))
  t.teardown(() => server.close())
  server.maxConnections = 0
  t.is(await askSocket(path), 'live')
})

test('removes the socket that is meant, and no other', async (t) => {
  const directory = await socketDirectory(t)
  const path = join(directory, 'kms.sock')
  await listening(t, path)
  const identity = await identifySocket(path)
  if (identity === undefined) throw new Error('no socket')
  t.false(await removeIfSame(path, { ...identity, ino: identity.ino + 1n }, { random }))
  t.false(await removeIfSame(path, { ...identity, mtimeNs: identity.mtimeNs + 1n }, { random }))
  t.false(await removeIfSame(join(directory, 'gone'), identity, { random }))
  t.is(await greetingAt(path), 'hello')
  t.true(await removeIfSame(path, identity, { random }))
  t.deepEqual(await readdir(directory), [])
})

test('a socket that takes the path at the last moment is put back', async (t) => {
  const directory = await socketDirectory(t)
  const [path, other] = [join(directory, 'kms.sock'), join(directory, 'other')]
  await listening(t, path)
  await listening(t, other, { greeting: 'other' })
  const identity = await identifySocket(path)
  if (identity === undefined) throw new Error('no socket')
  const swapBeforeRename = (length: number): Uint8Array => {
    fs.renameSync(other, path)
    return random(length)
  }
  t.false(await removeIfSame(path, identity, { random: swapBeforeRename }))
  t.is(await greetingAt(path), 'other')
  t.deepEqual(await readdir(directory), ['kms.sock'])
})

test('a path that vanishes at the last moment is no error', async (t) => {
  const path = join(await socketDirectory(t), 'kms.sock')
  await listening(t, path)
  const identity = await identifySocket(path)
  if (identity === undefined) throw new Error('no socket')
  const unlinkBeforeRename = (length: number): Uint8Array => {
    fs.unlinkSync(path)
    return random(length)
  }
  t.false(await removeIfSame(path, identity, { random: unlinkBeforeRename }))
})
