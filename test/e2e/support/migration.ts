import type { Child } from './child.ts'
import { startChild } from './child.ts'
import type { EncryptedCluster } from './encrypted-cluster.ts'
import type { Ground } from './ground.ts'
import { kmsCheck } from './kms-check.ts'
import { collection } from './kubernetes.ts'
import { ourProgram } from './our-program.ts'
import { runProgram, type Ran } from './run-program.ts'
import { readStoredObject } from './stored-object.ts'
import { until } from './until.ts'

/** What `latchkey etcd migrate -o json` says at its end. */
export interface MigrationReport {
  readonly event: 'report'
  readonly proved: boolean
  readonly seconds: number
  readonly resources: readonly {
    readonly resource: string
    readonly listed: number
    readonly rewritten: number
    readonly unchanged: number
    readonly gone: number
    readonly refused: number
  }[]
  readonly refused: readonly {
    readonly id: string
    readonly cause: string
    readonly detail: string
    readonly accepted: boolean
    readonly remedy: string
  }[]
}

/** `latchkey etcd migrate` against a cluster's API server. */
export interface Migrations {
  /** Runs it to its end, with `-o json`. */
  run(...args: readonly string[]): Promise<Ran & { readonly report: MigrationReport | undefined }>
  /** Starts it, to be killed. */
  start(name: string, ...args: readonly string[]): Promise<Child>
}

/** The command, as `kubeconfig`'s user. */
export function migrations(ground: Ground, kubeconfig: string): Migrations {
  const argsOf = (args: readonly string[]): readonly string[] => [
    ...['etcd', 'migrate', '--kubeconfig', kubeconfig, '-o', 'json'],
    ...args,
  ]
  return {
    run: async (...args) => {
      const { command, script } = await ourProgram(ground, 'latchkey')
      const ran = await runProgram(ground, {
        command,
        args: [script, ...argsOf(args)],
        timeoutMs: 240_000,
      })
      const events = ran.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { readonly event: string })
      const report = events.find(({ event }) => event === 'report')
      return { ...ran, report: report as MigrationReport | undefined }
    },
    start: async (name, ...args) => {
      const { command, script } = await ourProgram(ground, 'latchkey')
      return startChild(ground, { name, command, args: [script, ...argsOf(args)] })
    },
  }
}

/** Stages and activates a key, waits until the API server writes under it, and returns its id. */
export async function rotate(cluster: EncryptedCluster): Promise<string> {
  const { keyring, server } = cluster
  const id = await keyring.stage()
  await keyring.activate()
  const secrets = collection('v1', 'secrets', 'kube-system')
  let number = 0
  await until(
    'the API server to write under the new key',
    async () => {
      await kmsCheck(server.admin)
      const name = `probe-${id.split('.')[1] ?? ''}-${(number += 1)}`
      await server.admin.create(secrets, { metadata: { name } })
      return (await cluster.stored(`secrets/kube-system/${name}`)).keyId === id
    },
    { timeoutMs: 90_000, everyMs: 500 },
  )
  return id
}

/** Keys of etcd below a prefix that are under another key than `id`, or not encrypted at all. */
export async function staleKeys(
  cluster: EncryptedCluster,
  prefix: string,
  id: string,
): Promise<readonly string[]> {
  const values = await cluster.etcd.client.list(prefix)
  return values.filter(({ value }) => readStoredObject(value)?.keyId !== id).map(({ key }) => key)
}
