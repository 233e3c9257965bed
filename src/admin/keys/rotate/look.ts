import { lastRate } from './journal.ts'
import { isOvertaken } from './keyring-steps.ts'
import { persist, refuse } from './persist.ts'
import type { RotationPorts } from './ports.ts'
import type { RotateOptions, RotationPlan } from './rotate.ts'

/**
 * Looks at everything a rotation needs before anything is changed: keyring, members, API servers,
 * etcd.
 *
 * @throws `ERR_WOULD_LOSE_DATA` when it could not be brought to its end as things are now.
 */
export async function look(
  ports: RotationPorts,
  options: Pick<RotateOptions, 'timeoutMs' | 'signal'>,
): Promise<RotationPlan> {
  const tell = (state: 'started' | 'progress' | 'done', text: string, done?: number): void => {
    ports.tell({ event: 'step', step: 'look', state, text, done })
  }
  tell('started', 'looking at keyring, members, API servers and etcd')
  const persisted = <T>(run: () => Promise<T>): Promise<T> =>
    persist(ports, { step: 'look', ...options }, run)

  const { keyring, members, journal } = await persisted(async () => {
    using current = await ports.keyring.open()
    const { keys, active } = current.keyring
    const found = await ports.membership.check(current.keyring)
    const entries = await ports.journal.entries()
    const open = await ports.journal.open()
    const resumes = open === undefined || isOvertaken(open, current.keyring) ? undefined : open
    return {
      keyring: { keys: [...keys], active: active.id },
      members: found.members,
      journal: { rate: lastRate(entries), resumes },
    }
  })
  if (members.length === 0) {
    throw refuse(
      'no member is known: nobody would be seen to lack a new key',
      'start the plugin on every control plane first, and see "latchkey keys nodes"',
    )
  }
  const { servers, missing } = await persisted(() => ports.servers.discover(options.signal))
  if (missing.length > 0 || servers.length === 0) {
    const reasons = missing.map(({ name, reason }) => `${name} ${reason}`)
    throw refuse(
      `not every API server can be proved: ${reasons.join('; ') || 'none was found'}`,
      'start it or name its address with --server URL; if it is gone for good, delete its Lease in kube-system. Nothing was changed',
    )
  }
  const idsIn = (...states: readonly string[]): readonly string[] =>
    keyring.keys.filter(({ state }) => states.includes(state)).map(({ id }) => id)
  // What will be old once the new key is active: all that encrypts or decrypts now, but the new one.
  const stagedKeyId = idsIn('staged')[0]
  const superseded = idsIn('superseded')
  const newKey = journal.resumes?.keyId
  const old = new Set([...superseded, keyring.active].filter((id) => id !== newKey))
  const onProgress = (objects: number): void => {
    tell('progress', `${objects} objects read in etcd`, objects)
  }
  const storage = await persisted(() =>
    ports.storage.scan(old, { onProgress, signal: options.signal }),
  )
  const objects = storage.needingCount
  tell('done', `${storage.objects} objects in etcd, ${objects} to rewrite`)
  return {
    resumes: journal.resumes,
    activeKeyId: keyring.active,
    stagedKeyId,
    superseded,
    members: members.map(({ name }) => name),
    servers: servers.map(({ name }) => name),
    storage,
    objects,
    migrationSeconds: journal.rate === undefined ? undefined : Math.ceil(objects / journal.rate),
  }
}
