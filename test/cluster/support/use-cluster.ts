import type { TestFn } from 'ava'
import { join } from 'node:path'
import { binary } from '../../e2e/support/binaries.ts'
import { type Ground, useGround } from '../../e2e/support/ground.ts'
import { createHttpsClient } from '../../e2e/support/https.ts'
import { createKubernetes, type Kubernetes } from '../../e2e/support/kubernetes.ts'
import { type Ran, runOk, runProgram } from '../../e2e/support/run-program.ts'
import { credentialsOf, type Handle, readHandle } from './handle.ts'

/** The one cluster, as a test file sees it. */
export interface Cluster extends Handle {
  readonly ground: Ground
  /** The API as an administrator. */
  readonly admin: Kubernetes
  /** Runs kubectl as the administrator and resolves with what it prints; a failure is an error. */
  kubectl(...args: readonly string[]): Promise<string>
  /** The same whatever the exit code, and with something to read. */
  tryKubectl(args: readonly string[], stdin?: string): Promise<Ran>
  /** `kubectl apply -f -` of one or more objects. */
  apply(...objects: readonly object[]): Promise<string>
  /** Runs `latchkey` with the administrator's kubeconfig, whatever the exit code. */
  latchkey(...args: readonly string[]): Promise<Ran>
}

const project = join(import.meta.dirname, '..', '..', '..')

/** The cluster of this run, and a ground for the file's own things. Call it once, at the top. */
export function useCluster<Context>(test: TestFn<Context>): Cluster {
  return openCluster(useGround(test))
}

/** The cluster of this run, for what is no test. */
export function openCluster(ground: Ground): Cluster {
  const handle = readHandle()
  const { kubeconfig } = handle
  const https = createHttpsClient(handle.server, credentialsOf(kubeconfig))
  ground.defer('connections to the API server', () => {
    https.close()
  })
  // kubectl keeps what it has learnt of the API in its home, which is the ground.
  const run = async (
    args: readonly string[],
    stdin?: string,
  ): Promise<Parameters<typeof runOk>[1]> => ({
    command: await binary('kubectl'),
    args: ['--kubeconfig', kubeconfig, ...args],
    ...(stdin === undefined ? {} : { stdin }),
    timeoutMs: 240_000,
  })
  return {
    ...handle,
    ground,
    admin: createKubernetes(https),
    kubectl: async (...args) => await runOk(ground, await run(args)),
    tryKubectl: async (args, stdin) => await runProgram(ground, await run(args, stdin)),
    apply: async (...objects) => {
      const list = { apiVersion: 'v1', kind: 'List', items: objects }
      return await runOk(ground, await run(['apply', '-f', '-'], JSON.stringify(list)))
    },
    latchkey: (...args) =>
      runProgram(ground, {
        command: process.execPath,
        args: [join(project, 'cmd/latchkey.ts'), ...args, '--kubeconfig', kubeconfig],
      }),
  }
}
